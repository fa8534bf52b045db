import subprocess
import sys

import pytest

import pipelines


def test_what_is_exported_is_there() -> None:
    transforms = [name for name in pipelines.__all__ if not name.islower()]  # the others are modules
    assert transforms
    for name in transforms:
        assert getattr(pipelines, name).__name__ == name


def test_what_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'pipelines' has no attribute 'Nothing'"):
        _ = pipelines.Nothing


def test_the_package_itself_loads_neither_beam_nor_numpy() -> None:
    program = "import pipelines.score, sys; print({'apache_beam', 'numpy', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
