import csv
import io

import pytest

from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from trainer.data.rejects import COLUMNS, Reject, Rejects


def bad(count: int) -> list[Reject]:
    return [(f"{number}.png", ImageError(FailureCode.CORRUPT, "cut short")) for number in range(count)]


def rows(texts: list[str]) -> list[list[str]]:
    return list(csv.reader(io.StringIO(texts[-1], newline="")))


def test_without_rejects_the_file_has_only_a_header(capsys):
    texts: list[str] = []
    Rejects(write=texts.append).report([], images=10, source="folder:x")
    assert capsys.readouterr().out == ""
    assert rows(texts) == [list(COLUMNS)]


def test_the_rate_limit_itself_is_allowed(capsys):
    Rejects(max_rate=0.05).report(bad(5), images=100, source="folder:x")
    assert "folder:x: left out 5 of 100 images, which cannot be used" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"more than 0\.05 .*the first is '0\.png': CORRUPT: cut short"):
        Rejects(max_rate=0.05).report(bad(6), images=100, source="folder:x")


@pytest.mark.parametrize(("rate", "count", "fits"), [(0, 0, True), (0, 1, False), (1, 10, True)])
def test_none_and_all_may_be_allowed(rate, count, fits):
    book = Rejects(max_rate=rate)
    if fits:
        book.report(bad(count), images=10, source="x")
    else:
        with pytest.raises(UserError):
            book.report(bad(count), images=10, source="x")


def test_by_default_one_in_a_hundred_is_allowed():
    Rejects().report(bad(1), images=100, source="folder:x")
    with pytest.raises(UserError):
        Rejects().report(bad(2), images=100, source="folder:x")


def test_many_are_counted_and_the_first_are_named(capsys):
    Rejects(max_rate=0.5).report(bad(30), images=1_000, source="folder:x")
    printed = capsys.readouterr().out
    assert "'19.png'" in printed
    assert "'20.png'" not in printed
    assert "and 10 more" in printed


def test_the_file_lists_all_rejects_even_if_the_job_stops():
    texts: list[str] = []
    book = Rejects(max_rate=0.1, write=texts.append)
    book.report(bad(30), images=1_000, source="folder:x")
    with pytest.raises(UserError):
        book.report(bad(2), images=10, source="idx:y")
    written = rows(texts)
    assert written[0] == list(COLUMNS)
    assert [row[0] for row in written[1:]] == ["folder:x"] * 30 + ["idx:y"] * 2
    assert written[30] == ["folder:x", "29.png", "CORRUPT", "cut short"]


def test_a_line_break_in_a_name_stays_on_the_line(capsys):
    Rejects().report([("a\nb.png", ImageError(FailureCode.EMPTY, "0 bytes"))], images=100, source="folder:x")
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-x.png", "@x", "\tx", "\rx"])
def test_no_cell_is_a_spreadsheet_formula(name):
    texts: list[str] = []
    Rejects(write=texts.append).report(
        [(name, ImageError(FailureCode.EMPTY, "0 bytes"))], images=100, source="folder:x"
    )
    assert rows(texts)[1][1] == f"./{name}"


def test_a_name_that_is_no_utf_8_is_written_with_escapes():
    texts: list[str] = []
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    Rejects(write=texts.append).report([(name, ImageError(FailureCode.EMPTY, "0"))], images=100, source="x")
    assert rows(texts)[1][1] == "caf\\xe9.png"
    texts[-1].encode()


def test_a_quiet_worker_still_enforces_the_rate(capsys):
    texts: list[str] = []
    book = Rejects(write=texts.append)
    book.report(bad(1), images=100, source="x", quiet=True)
    with pytest.raises(UserError):
        book.report(bad(2), images=100, source="x", quiet=True)
    assert capsys.readouterr().out == ""
    assert texts == []
