"""What `import digitmill` offers, and what it costs."""

import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

import digitmill
from schemas.errors import UserError

PUBLIC = [
    name
    for name in digitmill.__all__
    if not name.islower() or name in ("load", "read", "sample", "score", "train")
]


def run_python(program: str, folder: pathlib.Path) -> str:
    root = pathlib.Path(digitmill.__file__).parents[1]
    program = f"import sys; sys.path.insert(0, {str(root)!r})\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_importing_it_imports_nothing_else(tmp_path: pathlib.Path) -> None:
    program = "before = set(sys.modules)\nimport digitmill\nprint(sorted(set(sys.modules) - before))"
    assert run_python(program, tmp_path) == "['digitmill']\n"


def test_a_model_and_a_finished_run_need_neither_beam_nor_tensorflow_nor_pandas(
    tmp_path: pathlib.Path,
) -> None:
    heavy = ("apache_beam", "tensorflow", "pandas", "matplotlib")
    program = f"import digitmill; digitmill.read, digitmill.load()\nprint(set({heavy!r}) & set(sys.modules))"
    assert run_python(program, tmp_path) == "set()\n"


@pytest.mark.parametrize("name", PUBLIC)
def test_each_name_is_there(name: str) -> None:
    assert getattr(digitmill, name).__name__ == name
    assert name in dir(digitmill)


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="'digitmill' has no attribute 'scroe'"):
        _ = digitmill.scroe


def test_errors_are_those_of_the_jobs_and_the_version_is_the_package_s() -> None:
    assert digitmill.UserError is UserError
    assert digitmill.__version__.split(".")[0].isdigit()


@pytest.mark.slow
def test_the_api_from_digits_to_a_model_and_back(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scans = digitmill.sample("scans", number=30)
    digitmill.sample("meters", split="train", number=400)
    pictures = [PIL.Image.open(file) for file in sorted(scans.rglob("*.png"))[:4]]
    pictures[0].save("a.png")
    pictures[1].save("b.jpg", quality=95)

    trained = digitmill.train("folder:meters", recipe="small-cnn", output="run", epochs=1)
    assert sum(trained.card.class_counts) > 300
    model = digitmill.load("run/bundle")
    found = model.predict(["a.png", pathlib.Path("b.jpg"), np.asarray(pictures[2]), pictures[3], b"none"])
    assert found.probabilities.shape == (5, 10)
    assert [error is None for error in found.errors] == [True] * 4 + [False]
    assert digitmill.canonicalize(pictures[3]).tolist() == np.asarray(pictures[3]).tolist()

    run = digitmill.score("scans", output="scores", labels="folder", model="run/bundle")
    assert (run.counts.scored, len(run.failures), run.accuracy.images) == (30, 0, 30)
    again = digitmill.read("scores")
    rows = again.predictions()
    assert len(rows) == again.to_arrow().num_rows == again.to_polars().height == sum(map(len, run.batches()))
    assert set(rows.image) == {file.as_uri() for file in tmp_path.joinpath("scans").rglob("*.png")}
    with pytest.raises(digitmill.UserError, match="sample folder not empty"):
        digitmill.sample("scans")
    with pytest.raises(digitmill.UserError, match="the sample has no such split: 'tests'"):
        digitmill.sample("more", split="tests")
