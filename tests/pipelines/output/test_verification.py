import gzip
import json
import pathlib
import shutil
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from digitmill.storage.local_output import LocalFolder
from pipelines.output.verification import verify
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from pipelines.verify import verify as command
from schemas.errors import UserError


@pytest.fixture(scope="module")
def finished(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    output = tmp_path_factory.mktemp("finished") / "out"
    (output.parent / "in").mkdir()
    shutil.copytree(digit_folder, output.parent / "in/digits")
    (output.parent / "in/empty.png").touch()
    shutil.make_archive(str(output.parent / "in/some"), "tar", digit_folder / "3")
    inputs = (str(output.parent / "in"),)
    score_job.run(ScoreOptions(inputs=inputs, model=bundle_path, output=str(output), rows_per_part=200))
    return output


@pytest.fixture
def output(finished: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(finished, tmp_path / "out")


def findings(output: pathlib.Path) -> list[str]:
    return list(verify(LocalFolder(output)).findings)


def test_open_run(output: pathlib.Path) -> None:
    verdict = verify(LocalFolder(output))
    assert verdict.findings == ()
    assert "every listed image has one outcome" in verdict.table()
    assert verdict.files == sum(1 for path in output.rglob("*") if path.is_file())
    assert CliRunner().invoke(command, [str(output)], standalone_mode=False).return_value == 0


def parts(output: pathlib.Path) -> list[str]:
    return [part["name"] for part in json.loads((output / "manifest.json").read_text())["parts"]]


def test_a_flipped_byte_is_found_in_every_file(output: pathlib.Path) -> None:
    for name in parts(output):
        before = (output / name).read_bytes()
        data = bytearray(before)
        data[len(data) // 2] ^= 1
        (output / name).write_bytes(data)
        assert findings(output) == [f"{name}: changed (other content)"]
        (output / name).write_bytes(before)


def test_missing_shorter_and_extra_parts_are_found(output: pathlib.Path) -> None:
    missing, shorter, *_ = sorted(name for name in parts(output) if name.startswith("predictions/"))
    size = (output / shorter).stat().st_size
    (output / missing).unlink()
    (output / shorter).write_bytes((output / shorter).read_bytes()[:-1])
    (output / "predictions/part-x.csv").touch()
    (output / "notes.txt").touch()
    assert sorted(findings(output)) == sorted(
        [
            f"{missing}: missing",
            f"{shorter}: changed ({size - 1:,} bytes, {size:,} expected)",
            "predictions/part-x.csv: not named by the manifest",
        ]
    )
    result = CliRunner().invoke(command, [str(output)], standalone_mode=False)
    assert result.return_value == 4
    assert "3 findings" in result.output


def forge(output: pathlib.Path, name: str, change: Callable[[bytes], bytes], rows: int | None = None) -> None:
    """Changes a file and makes the manifest say that it was always so."""
    from schemas.manifest import Part

    data = change((output / name).read_bytes())
    (output / name).write_bytes(data)
    manifest = json.loads((output / "manifest.json").read_text())
    for part in manifest["parts"]:
        if part["name"] == name:
            forged = Part.of(name, data, rows=part["rows"] if rows is None else rows)
            part |= {"bytes": forged.bytes, "sha256": forged.sha256, "rows": forged.rows}
    (output / "manifest.json").write_text(json.dumps(manifest))


def csv_part(output: pathlib.Path) -> str:
    """A file of predictions of images that are no members of the archive."""
    named = (name for name in parts(output) if name.endswith(".csv") and "predictions" in name)
    return next(name for name in named if b"/digits/" in (output / name).read_bytes())


def test_rows_are_counted(output: pathlib.Path) -> None:
    name = csv_part(output)
    forge(output, name, lambda data: data[: data[:-1].rindex(b"\n") + 1])
    assert len(findings(output)) == 1
    assert findings(output)[0].startswith(f"{name}: ")
    assert findings(output)[0].endswith("expected")


def test_images_with_no_and_with_two_outcomes_are_found(output: pathlib.Path) -> None:
    def swap(data: bytes) -> bytes:
        header, _, second, *rest = data.split(b"\n")
        return b"\n".join([header, second, second, *rest])

    forge(output, csv_part(output), swap)
    first, second = sorted(findings(output), key=lambda finding: "listed" in finding)
    assert first.endswith(": 2 outcomes")
    assert second.endswith(": listed, but no outcome")


def test_an_outcome_of_an_unlisted_image_is_found(output: pathlib.Path) -> None:
    forge(output, csv_part(output), lambda data: data.replace(b"digits/", b"idiots/", 1))
    assert any(finding.endswith(": outcome, but not listed") for finding in findings(output))


def test_counts_that_do_not_add_up_are_reported(output: pathlib.Path) -> None:
    text = json.loads((output / "manifest.json").read_text())
    text["counts"] |= {"listed": text["counts"]["listed"] + 1, "skipped": 1}
    (output / "manifest.json").write_text(json.dumps(text))
    assert [finding.partition(": ")[0] for finding in findings(output)] == ["manifest.json"] * 2


def edit(output: pathlib.Path, change: Callable[[dict], object]) -> None:
    """Changes the manifest by hand."""
    text = json.loads((output / "manifest.json").read_text())
    change(text)
    (output / "manifest.json").write_text(json.dumps(text))


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda text: text.update(accepted=text["accepted"] - 1), "accepted when recounted"),
        (lambda text: text.update(labelled=1), "labelled when recounted"),
        (lambda text: text.update(status="over_budget"), "a status of 'over_budget'"),
        (lambda text: text["failures"].update(EMPTY=0, CORRUPT=1), "failures of EMPTY when recounted"),
    ],
)
def test_a_changed_count_in_the_manifest_is_found(
    output: pathlib.Path, change: Callable[[dict], object], finding: str
) -> None:
    edit(output, change)
    assert any(finding in found for found in findings(output))


@pytest.mark.parametrize("folder", ["statistics", "predictions"])
def test_a_file_removed_from_the_manifest_is_found(output: pathlib.Path, folder: str) -> None:
    name = next(name for name in parts(output) if name.startswith(folder))
    (output / name).unlink()
    edit(output, lambda text: text.update(parts=[part for part in text["parts"] if part["name"] != name]))
    assert any(finding.startswith(f"{name}: ") for finding in findings(output))


def test_an_unfinished_run_is_refused(output: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (output / "manifest.json").unlink()
    for place in (output, tmp_path / "nothing"):
        with pytest.raises(UserError, match=r"no finished run, without manifest\.json"):
            verify(LocalFolder(place))


def test_gzipped_tables_are_read_too(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    options = {"inputs": (str(digit_folder),), "model": bundle_path, "output": str(tmp_path / "out")}
    from schemas.layout import Compression

    score_job.run(ScoreOptions(**options, compression=Compression.ALL))
    assert findings(tmp_path / "out") == []
    (table,) = (tmp_path / "out/predictions").glob("*.csv.gz")
    name = str(table.relative_to(tmp_path / "out"))

    def swap(data: bytes) -> bytes:
        return gzip.compress(gzip.decompress(data).replace(b"digits", b"idiots", 1))

    forge(tmp_path / "out", name, swap)
    assert any(finding.endswith("outcome, but not listed") for finding in findings(tmp_path / "out"))
