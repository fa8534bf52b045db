import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_timing import FASTEST
from digitmill.storage import open_folder
from pipelines.score_options import ScoreOptions
from pipelines.scoring import model_place
from pipelines.scoring.model_place import open_bundles, stage_bundle
from schemas.errors import UserError
from schemas.model.bundle import LITERT_MODEL
from schemas.run_plan import RunPlan
from tests.gcs_emulator import Bucket


def upload(bucket: Bucket, bundle_path: pathlib.Path) -> str:
    for file in bundle_path.rglob("*"):
        if file.is_file():
            bucket.put(f"run/bundle/{file.relative_to(bundle_path).as_posix()}", file.read_bytes())
    return f"{bucket.uri}/run/bundle"


def begun(engine: str) -> RunPlan:
    return RunPlan(inputs=(), model="", preprocessing="", settings={"engine": engine}, past={})


def test_a_resumed_run_keeps_its_engine(bundle_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_place, "fastest", lambda bundle, **_: pytest.fail("it was chosen before"))
    options = ScoreOptions(inputs=("in",), output="out", model=str(bundle_path))
    default = open_bundle(bundle_path).engine
    for kind in ("litert", "litert_int8", "openvino"):
        opened, _ = open_bundles(options, begun=begun(kind), compare=True)
        assert opened.engine.kind == kind
        assert opened.engine.reason == (default.reason if kind == default.kind else FASTEST)


def test_what_is_asked_for_is_neither_compared_nor_kept(
    bundle_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_place, "fastest", lambda bundle, **_: pytest.fail("it was asked for"))
    options = ScoreOptions(inputs=("in",), output="out", model=str(bundle_path), engine="litert")
    assert open_bundles(options, begun=begun("openvino"), compare=True)[0].engine.kind == "litert"


@pytest.mark.parametrize("compare", [True, False])
def test_auto_compares_where_it_pays(
    bundle_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, compare: bool
) -> None:
    compared: list[int | None] = []
    monkeypatch.setattr(model_place, "fastest", lambda bundle, images: compared.append(images) or bundle)
    options = ScoreOptions(inputs=("in",), output="out", model=str(bundle_path))
    open_bundles(options, compare=compare, images=9_000)
    assert compared == ([9_000] if compare else [])


@pytest.mark.parametrize(
    ("program", "chosen"),
    [
        ("print('a note'); print('openvino')", "openvino"),
        ("print('litert')", "litert"),
        ("import os; print('openvino', flush=True); os.abort()", "litert"),
        ("pass", "litert"),
        (
            "import pickle; from digitmill.engines.bundle_loader import Bundle;"
            "assert isinstance(pickle.load(sys.stdin.buffer), Bundle); print('openvino')",
            "openvino",
        ),
    ],
)
def test_another_process_compares_and_may_die_of_it(
    bundle_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, program: str, chosen: str
) -> None:
    opened = open_bundle(bundle_path, "litert")
    monkeypatch.setattr(model_place, "_TIMING", (sys.executable, "-c", f"import sys; {program}"))
    found = model_place.fastest(opened, images=None)
    assert found.engine.kind == chosen
    assert (found is opened) == (chosen == "litert")


def test_the_launcher_loads_no_engine_but_the_default(bundle_path: pathlib.Path) -> None:
    program = (
        "import sys; from digitmill.engines.bundle_loader import open_bundle;"
        "from pipelines.scoring.model_place import fastest;"
        "found = fastest(open_bundle(sys.argv[1]), images=None);"
        "print(found.engine.kind, 'openvino' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, bundle_path], capture_output=True, text=True, check=True
    )
    kind, loaded = done.stdout.split()
    assert kind in {"litert", "litert_int8", "openvino", "openvino_int8"}
    assert loaded == "False"


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_a_bundle_in_a_bucket_is_opened_where_it_is(
    bucket: Bucket, bundle_path: pathlib.Path, digits: np.ndarray, kind: type
) -> None:
    opened, here = (
        open_bundle(kind(upload(bucket, bundle_path)), "litert"),
        open_bundle(bundle_path, "litert"),
    )
    assert opened.digest == here.digest
    assert opened.place == f"{bucket.uri}/run/bundle"
    assert (opened.load().probabilities(digits) == here.load().probabilities(digits)).all()


def test_a_bucket_without_a_bundle_is_refused(bucket: Bucket) -> None:
    bucket.put("other/file", b"")
    with pytest.raises(UserError, match="not a model bundle"):
        open_bundle(bucket.uri)


@pytest.mark.parametrize("name", ["saved_model/../../outside", "/tmp/outside"])
def test_a_card_that_names_files_outside_the_bundle_is_refused(
    bucket: Bucket, bundle_path: pathlib.Path, name: str
) -> None:
    given = upload(bucket, bundle_path)
    card = json.loads((bundle_path / "model_card.json").read_text())
    card["files"][name] = ""
    bucket.put("run/bundle/model_card.json", json.dumps(card).encode())
    match = f"damaged model bundle: '{given}'.*a file outside the bundle: '{name}'"
    with pytest.raises(UserError, match=match):
        open_bundle(given)


def test_a_bundle_in_a_bucket_that_lacks_a_file_is_refused(bucket: Bucket, bundle_path: pathlib.Path) -> None:
    given = upload(bucket, bundle_path)
    bucket.delete("run/bundle/golden.npz")
    with pytest.raises(UserError, match=r"cannot read the file: '.*/golden\.npz'"):
        open_bundle(given)


@pytest.fixture
def lost(bundle_path: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A bundle's copy, which the test loses."""
    return pathlib.Path(shutil.copytree(bundle_path, tmp_path / "launcher" / "bundle"))


@pytest.mark.parametrize("engine", ["litert", "litert_int8", "saved_model"])
def test_the_files_of_the_engine_are_staged(
    lost: pathlib.Path, digits: np.ndarray, tmp_path: pathlib.Path, engine: str
) -> None:
    bundle = open_bundle(lost, engine)
    expected = bundle.load().probabilities(digits)
    output = open_folder(str(tmp_path / "out"))
    output.claim()
    staged = stage_bundle(bundle, output)
    shutil.rmtree(lost)
    assert (staged.load().probabilities(digits) == expected).all()
    assert set(output.walk()) == {f"models/{bundle.digest[:32]}/{name}" for name in bundle.engine_files}


def test_a_model_is_staged_once_and_read_from_a_bucket(bucket: Bucket, bundle: Bundle) -> None:
    output = open_folder(f"{bucket.uri}/out")
    staged = stage_bundle(bundle, output)
    before = {name: bucket.read(name) for name in bucket.names()}
    # A resumed run stages again, and so may a launcher that died half-way.
    assert stage_bundle(bundle, output) == staged
    assert {name: bucket.read(name) for name in bucket.names()} == before
    digits = np.zeros((2, 28, 28), np.uint8)
    assert (staged.load().probabilities(digits) == bundle.load().probabilities(digits)).all()


def test_a_model_changed_in_staging_is_not_loaded(bucket: Bucket, bundle_path: pathlib.Path) -> None:
    bundle = open_bundle(bundle_path, "litert")
    staged = stage_bundle(bundle, open_folder(f"{bucket.uri}/out"))
    (name,) = bucket.names()
    content = bytearray(bucket.read(name))
    content[len(content) // 2] ^= 1
    bucket.put(name, bytes(content))
    assert hashlib.sha256(content).hexdigest() not in bundle.card.files.values()
    with pytest.raises(UserError, match=f"{LITERT_MODEL} is not the file that the card names"):
        staged.load()


@pytest.mark.parametrize("engine", ["litert", "saved_model"])
def test_a_carried_bundle_loads_without_its_folder(
    lost: pathlib.Path, digits: np.ndarray, engine: str
) -> None:
    bundle = open_bundle(lost, engine)
    expected, carried = bundle.load().probabilities(digits), bundle.carry()
    shutil.rmtree(lost)
    assert (carried.load().probabilities(digits) == expected).all()
