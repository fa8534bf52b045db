import pathlib
import textwrap

import pytest

from tests import room_exports

ROOM = '__all__ = ["door"]\n'


def faults(**changes: str) -> list[str]:
    """The faults of two rooms, of which `a` exports its module `door`, with some modules changed."""
    sources = {
        "top/a/__init__.py": ROOM,
        "top/a/door.py": "",
        "top/a/cellar.py": "from top.a import attic",
        "top/a/attic.py": "",
        "top/b/__init__.py": "",
        "top/b/guest.py": "from top.a import door",
        "top/__init__.py": "",
        "top/a/inner/__init__.py": "",
        "top/a/inner/child.py": "from top.a.cellar import x",
    }
    sources |= {name.replace("__", "/") + ".py": textwrap.dedent(text) for name, text in changes.items()}
    return list(room_exports.faults({pathlib.Path(path): text for path, text in sources.items()}))


def test_exported_modules_and_a_room_s_own_ones_may_be_imported() -> None:
    assert faults() == []


@pytest.mark.parametrize(
    "text",
    [
        "from top.a import door, cellar",
        "from top.a import door\nfrom top.a.cellar import x",
        "import top.a.door, top.a.cellar",
        "from top.a import door\ndef f():\n    from top.a.cellar import x",
    ],
)
def test_another_room_s_own_module_is_a_fault(text: str) -> None:
    assert faults(top__b__guest=text) == [
        "top.b.guest imports top.a.cellar, which top.a does not export in __all__"
    ]


def test_a_room_around_does_not_see_into_an_inner_one() -> None:
    (fault,) = faults(top__a__cellar="from top.a.inner import child")
    assert "top.a.inner.child" in fault


def test_an_exported_module_that_nobody_imports_is_a_fault() -> None:
    assert faults(top__b__guest="") == ["top.a exports its module door, which no other room imports"]


def test_exported_names_count_as_the_room_s() -> None:
    path = pathlib.Path("top/a/__init__.py")
    sources = {path: '__all__ = ["open_door"]', pathlib.Path("top/guest.py"): "from top.a import open_door"}
    sources[pathlib.Path("top/__init__.py")] = ""
    assert list(room_exports.faults(sources)) == []


def test_faults_are_printed_and_are_an_error(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/__init__.py").write_text("")
    assert room_exports.main(["a"]) == 0
    (tmp_path / "a/cellar.py").write_text("")
    (tmp_path / "b.py").write_text("from a.cellar import x")
    assert room_exports.main(["a", "."]) == 1
    assert "a does not export" in capsys.readouterr().out
