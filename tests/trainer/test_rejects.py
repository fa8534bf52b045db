import pytest

from imaging.errors import ImageError
from schemas.errors import UserError
from schemas.failure import FailureCode
from trainer.data import rejects


def bad(count: int) -> list[tuple[str, ImageError]]:
    return [(f"{number}.png", ImageError(FailureCode.CORRUPT, "cut short")) for number in range(count)]


def test_no_reject_is_no_line(capsys):
    rejects.report([], images=10, source="folder:x")
    assert capsys.readouterr().out == ""


def test_the_share_is_of_all_images_and_its_limit_is_allowed(capsys):
    rejects.report(bad(5), images=100, source="folder:x")
    assert "folder:x: 5 of 100 images are not usable and are left out" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"mend or remove them; the first is '0\.png': CORRUPT: cut short"):
        rejects.report(bad(6), images=100, source="folder:x")


def test_many_are_counted_and_the_first_are_named(capsys):
    rejects.report(bad(30), images=1_000, source="folder:x")
    printed = capsys.readouterr().out
    assert "'19.png'" in printed
    assert "'20.png'" not in printed
    assert "and 10 more" in printed


def test_a_line_break_in_a_name_stays_on_the_line(capsys):
    rejects.report([("a\nb.png", ImageError(FailureCode.EMPTY, "0 bytes"))], images=100, source="folder:x")
    assert len(capsys.readouterr().out.splitlines()) == 2
