import dataclasses

from pipelines.summary import Summary
from schemas.manifest import Manifest


def test_a_run_is_a_few_aligned_lines(manifest: Manifest) -> None:
    lines = Summary("out", manifest).table().splitlines()
    assert lines == [
        "images       62",
        "scored       60 (50 accepted, 10 for review)",
        "failed       2 (EMPTY 1, CORRUPT 1)",
        "accuracy     84.75 % (95 % interval 73.48 % to 91.76 %, 50 of 59)",
        "images/s     62",
        "report       out/report.html",
        "predictions  out/predictions/part-*.csv",
        "manifest     out/manifest.json",
    ]


def test_without_labels_no_accuracy_is_claimed(manifest: Manifest) -> None:
    table = Summary("out", dataclasses.replace(manifest, labelled=0, right=0)).table()
    assert "accuracy" not in table
