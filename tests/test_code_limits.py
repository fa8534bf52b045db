import pathlib

import pytest

from tests import code_limits


def function(lines: int, name: str = "f") -> str:
    return f"def {name}():\n" + "    x = 1\n" * (lines - 1)


SHORT = "".join(function(2, f"g{number}") for number in range(20))
"""Functions enough that one long one moves neither quantile."""


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({"a/b.py": "x = 1\n" * 401}, "a/b.py: 401 lines"),
        ({"a/b.py": SHORT + function(61)}, "a/b.py: f has 61 lines"),
        ({"a/b.py": SHORT + "class C:\n    async def f(self):\n" + "        x = 1\n" * 60}, "f has 61 lines"),
        ({f"a/m{number}.py": "" for number in range(15)}, "a: 15 modules"),
        ({"a/b.py": "", "a/c/b.py": ""}, "a/b.py, a/c/b.py: one name"),
        ({"a/b.py": function(9)}, "the median"),
        ({"a/b.py": SHORT + "".join(function(26, f"h{number}") for number in range(3))}, "90th percentile"),
    ],
)
def test_what_is_beyond_a_limit_is_named(sources: dict[str, str], words: str) -> None:
    (fault,) = code_limits.faults({pathlib.Path(path): text for path, text in sources.items()})
    assert words in fault


def test_what_is_at_its_limit_passes() -> None:
    sources = {f"a/m{number}.py": "x = 1\n" * 400 for number in range(13)}
    sources |= {"a/__init__.py": "", "a/__main__.py": "", "b/__init__.py": "", "b/__main__.py": ""}
    sources["b/c.py"] = SHORT + function(60)
    assert list(code_limits.faults({pathlib.Path(path): text for path, text in sources.items()})) == []


def test_the_figures_are_printed_and_a_fault_is_an_error(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.py").write_text(SHORT)
    assert code_limits.main([str(tmp_path)]) == 0
    assert (
        capsys.readouterr().out == "1 modules, 20 functions: median 2 lines, 90th percentile 2, longest 2\n"
    )
    (tmp_path / "b.py").write_text(function(61))
    assert code_limits.main([str(tmp_path)]) == 1
