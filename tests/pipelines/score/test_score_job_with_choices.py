import csv
import dataclasses
import pathlib

import numpy as np
import pytest

from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_timing import FASTEST
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from pipelines.scoring import model_place
from pipelines.statistics.agreement import AGREEMENT_HEADER
from pipelines.workers.pool import WorkerPool
from schemas.errors import StoppedError, UserError
from schemas.manifest import Manifest
from tests.beam_engines import contents, interrupt_scoring
from tests.pipelines.stub_engines import FailsOn


def options(folder: pathlib.Path, model: pathlib.Path, output: pathlib.Path, **more: object) -> ScoreOptions:
    return ScoreOptions(
        inputs=(str(folder),), model=model, output=str(output), beam_flags=("--runner=FnApiRunner",), **more
    )


def rows_of(output: pathlib.Path) -> list[dict[str, str]]:
    rows = []
    for part in sorted((output / "predictions").glob("*.csv")):
        with part.open(newline="") as file:
            rows += csv.DictReader(file)
    return rows


@pytest.fixture(scope="module")
def challenged(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    rival_path: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Manifest, pathlib.Path]:
    output = tmp_path_factory.mktemp("challenged") / "out"
    summary = run(options(digit_folder, bundle_path, output, labels="folder", challenger=rival_path))
    return summary.manifest, output


def test_both_models_answer_stand_in_one_row(
    challenged: tuple, digit_folder: pathlib.Path, rival_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    manifest, output = challenged
    rows = rows_of(output)
    run(options(digit_folder, rival_path, tmp_path / "alone"))
    alone = {row["image"]: (row["digit"], row["confidence"]) for row in rows_of(tmp_path / "alone")}
    assert {row["image"]: (row["challenger_digit"], row["challenger_confidence"]) for row in rows} == alone
    agreed = sum(row["digit"] == row["challenger_digit"] for row in rows)
    assert 250 < agreed < 500
    assert manifest.agreed == agreed
    assert manifest.challenger_right == sum(row["challenger_digit"] == row["label"] for row in rows)


def test_a_challenger_changes_no_answer(
    challenged: tuple, digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run(options(digit_folder, bundle_path, tmp_path / "out", labels="folder"))
    champion = [
        {name: value for name, value in row.items() if not name.startswith("challenger")}
        for row in rows_of(challenged[1])
    ]
    alone = rows_of(tmp_path / "out")
    assert {(row.pop("challenger_digit"), row.pop("challenger_confidence")) for row in alone} == {("", "")}
    assert sorted(champion, key=lambda row: row["image"]) == sorted(alone, key=lambda row: row["image"])
    assert not (tmp_path / "out" / "reports" / "agreement.csv").exists()


def test_the_agreement_report_counts_the_rows(challenged: tuple) -> None:
    manifest, output = challenged
    with (output / "reports" / "agreement.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert tuple(cells[0]) == AGREEMENT_HEADER
    rows = rows_of(output)
    for cell in cells:
        pair = (cell["digit"], cell["challenger_digit"])
        labels = [row["label"] for row in rows if (row["digit"], row["challenger_digit"]) == pair]
        assert int(cell["images"]) == int(cell["labeled"]) == len(labels)
        assert int(cell["right"]) == labels.count(pair[0])
        assert int(cell["challenger_right"]) == labels.count(pair[1])
    assert sum(int(cell["images"]) for cell in cells) == 500
    assert "reports/agreement.csv" in {part.name for part in manifest.parts}


def test_manifest_and_page_name_both_models(
    challenged: tuple, bundle_path: pathlib.Path, rival_path: pathlib.Path
) -> None:
    manifest, output = challenged
    assert manifest == Manifest.from_json((output / "manifest.json").read_text())
    for fields, path in ((manifest.model, bundle_path), (manifest.challenger, rival_path)):
        opened = open_bundle(path)
        assert dict(fields) == {
            "path": str(path),
            "digest": opened.digest,
            "recipe": opened.card.recipe,
            "engine": opened.engine.kind,
        }
    page = (output / "report.html").read_text()
    assert "Challenger" in page
    assert "linear" in page


@pytest.mark.slow
def test_the_engine_is_recorded_with_its_reason(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    manifests = {
        engine: run(options(mixed_folder, bundle_path, tmp_path / engine, engine=engine)).manifest
        for engine in ("litert", "openvino", "saved_model")
    }
    for engine, manifest in manifests.items():
        assert dataclasses.astuple(manifest.counts) == (65, 60, 5, 0)
        assert manifest.options["engine"] == manifest.model["engine"] == engine
        assert manifest.options["engine_reason"] == "chosen by --engine"
        assert ("tensorflow" in manifest.versions) == (engine == "saved_model")
        assert ("ai-edge-litert" in manifest.versions) == (engine == "litert")
        assert ("openvino" in manifest.versions) == (engine == "openvino")
    answers = [
        {row["image"]: (row["digit"], row["decision"]) for row in rows_of(tmp_path / engine)}
        for engine in manifests
    ]
    assert answers[0] == answers[1] == answers[2]


def test_a_run_that_began_with_the_fastest_engine_resumes_with_it(
    mixed_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def openvino(_: Bundle, **__: object) -> Bundle:
        opened = open_bundle(bundle_path, "openvino")
        return dataclasses.replace(opened, engine=dataclasses.replace(opened.engine, reason=FASTEST))

    places = [tmp_path / "whole", tmp_path / "in two"]
    with WorkerPool(1) as pool, monkeypatch.context() as patched:
        patched.setattr(model_place, "fastest", openvino)
        run(options(mixed_folder, bundle_path, places[0]), pool)
        interrupt_scoring(patched)
        with pytest.raises(StoppedError):
            run(options(mixed_folder, bundle_path, places[1]), pool)
    resumed = run(options(mixed_folder, bundle_path, places[1], resume=True)).manifest
    assert resumed.model["engine"] == "openvino"
    assert contents(places[0]) == contents(places[1])


@pytest.mark.slow
def test_another_engine_or_challenger_makes_other_work_items(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, rival_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    names = []
    for number, change in enumerate(({}, {"engine": "saved_model"}, {"challenger": rival_path})):
        run(options(mixed_folder, bundle_path, tmp_path / str(number), **change))
        names.append({path.name for path in (tmp_path / str(number) / "statistics").iterdir()})
    assert not names[0] & names[1]
    assert not names[0] & names[2]


def test_a_challenger_that_cannot_be_used_is_refused_before_anything_is_written(
    mixed_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match="not a model bundle"):
        run(options(mixed_folder, bundle_path, tmp_path / "out", challenger=tmp_path))
    assert not (tmp_path / "out").exists()


def test_an_image_that_the_model_cannot_score_is_a_failure_among_the_others(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    digits: np.ndarray,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Bundle.load
    # The launcher asks the golden batch, so only what comes after it is hard on the model.
    monkeypatch.setattr(Bundle, "load", lambda opened: FailsOn(real(opened), digits[7:8]))
    manifest = run(options(digit_folder, bundle_path, tmp_path / "out")).manifest
    assert dataclasses.astuple(manifest.counts) == (500, 499, 1, 0)
    assert manifest.failures["ENGINE"] == 1
    with (tmp_path / "out" / "reports" / "failures.csv").open(newline="") as file:
        (failure,) = csv.DictReader(file)
    assert failure["image"].endswith("/00007.png")
    assert (failure["code"], failure["detail"]) == ("ENGINE", "no such luck")
    assert len(rows_of(tmp_path / "out")) == 499


def test_a_broken_engine_ends_the_run_without_a_manifest(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    digits: np.ndarray,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Bundle.load
    monkeypatch.setattr(Bundle, "load", lambda opened: FailsOn(real(opened), digits))
    with pytest.raises(StoppedError, match="the model cannot score any of 500 images"):
        run(options(digit_folder, bundle_path, tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not list((tmp_path / "out").glob("statistics/*"))
