import dataclasses

from pipelines.output.summary import Summary
from schemas.errors import ExitCode
from schemas.manifest import Counts, Manifest, Status


def test_the_summary_is_aligned(manifest: Manifest) -> None:
    lines = Summary("out", manifest).table().splitlines()
    assert lines == [
        "images       62",
        "scored       60 (50 accepted, 10 for review)",
        "failed       2 (EMPTY 1, CORRUPT 1)",
        "failures     out/reports/failures.csv",
        "accuracy     84.75 % (95 % interval 73.48 % to 91.76 %, 50 of 59)",
        "images/s     62",
        "report       out/report.html",
        "predictions  out/predictions/part-*.csv",
        "manifest     out/manifest.json",
    ]


def test_without_labels_no_accuracy_is_claimed(manifest: Manifest) -> None:
    table = Summary("out", dataclasses.replace(manifest, labeled=0, right=0)).table()
    assert "accuracy" not in table


def test_tripped_gates_have_a_line_and_an_exit_code_of_their_own(manifest: Manifest) -> None:
    tripped = {"drift>0.25": 0.6125, "accuracy<0.9": None, "listed<100": 62}
    failed = Summary("out", dataclasses.replace(manifest, tripped=tripped))
    assert "tripped      drift>0.25 (0.6125), accuracy<0.9 (unknown), listed<100 (62)\n" in failed.table()
    assert (failed.exit_code, Summary("out", manifest).exit_code) == (ExitCode.GATE_TRIPPED, ExitCode.OK)
    over = dataclasses.replace(failed.manifest, status=Status.OVER_BUDGET)
    assert Summary("out", over).exit_code == ExitCode.OVER_BUDGET


def test_a_challenger_has_a_line(manifest: Manifest) -> None:
    challenged = dataclasses.replace(manifest, challenger={"digest": "e"}, agreed=57, challenger_right=52)
    (line,) = [row for row in Summary("out", challenged).table().splitlines() if row.startswith("challenger")]
    assert line == (
        "challenger   agrees on 57 of 60 (95.00 %); its own accuracy 88.14 % "
        "(95 % interval 77.48 % to 94.13 %, 52 of 59)"
    )
    unlabeled = dataclasses.replace(challenged, labeled=0, right=0, challenger_right=0)
    assert "agrees on 57 of 60 (95.00 %)\n" in Summary("out", unlabeled).table()


def test_what_was_skipped_ignored_and_vanished_is_told_apart(manifest: Manifest) -> None:
    skipping = dataclasses.replace(manifest, counts=Counts(1_072, 60, 2, 1_010), skipped_failed=10)
    rows = Summary("out", dataclasses.replace(skipping, ignored=3, vanished=1)).table().splitlines()
    assert (
        "skipped      1,010: 1,000 scored before, 10 failed before (--retry-failures scores those again)"
        in rows
    )
    assert "ignored      3 (junk or excluded)" in rows
    assert "vanished     1 folder, during the listing" in rows
    all_scored = Summary("out", dataclasses.replace(skipping, skipped_failed=0)).table()
    assert "1,010: 1,010 scored before\n" in all_scored


def test_images_that_seem_no_digit_are_counted(manifest: Manifest) -> None:
    table = Summary("out", dataclasses.replace(manifest, not_digits=4)).table()
    assert "scored       60 (50 accepted, 10 for review, 4 of these no digit)" in table


def test_a_resumed_run_that_had_finished_says_so(manifest: Manifest) -> None:
    first, *others = Summary("out", manifest, was_finished=True).table().splitlines()
    assert first == "resumed      nothing to do, the run had finished before"
    assert others == Summary("out", manifest).table().splitlines()


def test_without_failures_none_are_pointed_to(manifest: Manifest) -> None:
    done = dataclasses.replace(
        manifest, counts=Counts(60, 60, 0, 0), failures=dict.fromkeys(manifest.failures, 0)
    )
    assert "failures" not in Summary("out", done).table()


def test_without_a_scored_image_there_is_no_speed(manifest: Manifest) -> None:
    nothing = dataclasses.replace(manifest, counts=Counts(62, 0, 2, 60), labeled=0, right=0, accepted=0)
    assert "images/s" not in Summary("out", nothing).table()
