import dataclasses
import hashlib
import json
import pathlib

import pytest

from digitmill.engines.bundle_loader import Bundle, open_bundle
from pipelines.scoring.model_place import display_address, local_bundle, stage_models, worker_bundle
from schemas.errors import UserError
from tests.gcs_emulator import Bucket


def upload(bucket: Bucket, bundle_path: pathlib.Path) -> pathlib.Path:
    for file in bundle_path.rglob("*"):
        if file.is_file():
            bucket.put(f"run/bundle/{file.relative_to(bundle_path).as_posix()}", file.read_bytes())
    return pathlib.Path(f"{bucket.uri}/run/bundle")


def test_a_bundle_in_a_bucket_is_opened_from_a_copy(bucket: Bucket, bundle_path: pathlib.Path) -> None:
    given = upload(bucket, bundle_path)
    assert display_address(given) == f"{bucket.uri}/run/bundle"
    with local_bundle(given) as folder:
        assert open_bundle(folder).digest == open_bundle(bundle_path).digest
    assert not folder.exists()


def test_a_local_bundle_is_not_copied(bundle_path: pathlib.Path) -> None:
    with local_bundle(bundle_path) as folder:
        assert folder == bundle_path
    assert (bundle_path / "model_card.json").exists()


def test_a_bucket_without_a_bundle_is_refused(bucket: Bucket) -> None:
    bucket.put("other/file", b"")
    with pytest.raises(UserError, match="not a model bundle"), local_bundle(pathlib.Path(bucket.uri)):
        pass


def test_only_what_the_card_names_is_copied(bucket: Bucket, bundle_path: pathlib.Path) -> None:
    given = upload(bucket, bundle_path)
    for name in ("run/bundle/stray", "run/bundle/../../outside"):
        bucket.put(name, b"")
    with local_bundle(given) as folder:
        copied = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert copied == {"model_card.json", *open_bundle(folder).card.files}
        assert not (folder.parent.parent / "outside").exists()


@pytest.mark.parametrize("name", ["saved_model/../../outside", "/tmp/outside"])
def test_a_card_that_names_files_outside_the_bundle_is_refused(
    bucket: Bucket, bundle_path: pathlib.Path, name: str
) -> None:
    given = upload(bucket, bundle_path)
    card = json.loads((bundle_path / "model_card.json").read_text())
    card["files"][name] = ""
    bucket.put("run/bundle/model_card.json", json.dumps(card).encode())
    match = f"damaged model bundle: '{bucket.uri}/run/bundle'.*a file outside the bundle: '{name}'"
    with pytest.raises(UserError, match=match), local_bundle(given):
        pass


def test_a_bundle_in_a_bucket_that_lacks_a_file_is_refused(bucket: Bucket, bundle_path: pathlib.Path) -> None:
    given = upload(bucket, bundle_path)
    bucket.delete("run/bundle/golden.npz")
    with pytest.raises(UserError, match=r"cannot read the file: '.*/golden\.npz'"), local_bundle(given):
        pass


@pytest.mark.parametrize("engine", ["litert", "litert_int8", "saved_model"])
def test_the_files_of_the_engine_are_staged(bucket: Bucket, bundle_path: pathlib.Path, engine: str) -> None:
    bundle = open_bundle(bundle_path, engine)
    stage_models([bundle, None], f"{bucket.uri}/models")
    lost = dataclasses.replace(bundle, path=pathlib.Path("/nowhere"))
    with worker_bundle(lost, f"{bucket.uri}/models") as found:
        expected = bundle.load().probabilities
        digits = __import__("numpy").zeros((2, 28, 28), "uint8")
        assert (found.load().probabilities(digits) == expected(digits)).all()
        files = [path for path in found.path.rglob("*") if path.is_file()]
    assert not found.path.exists()
    assert all(path.name != "model.keras" for path in files)


def test_a_worker_with_the_launchers_files_downloads_nothing(bundle: Bundle, bucket: Bucket) -> None:
    for base in (None, f"{bucket.uri}/nothing-there"):
        with worker_bundle(bundle, base) as found:
            assert found is bundle


def test_a_model_changed_in_staging_is_not_loaded(bucket: Bucket, bundle: Bundle) -> None:
    stage_models([bundle], f"{bucket.uri}/models")
    (name,) = bucket.names()
    content = bytearray(bucket.read(name))
    content[len(content) // 2] ^= 1
    bucket.put(name, bytes(content))
    assert hashlib.sha256(content).hexdigest() not in bundle.card.files.values()
    lost = dataclasses.replace(bundle, path=pathlib.Path("/nowhere"))
    with (
        worker_bundle(lost, f"{bucket.uri}/models") as found,
        pytest.raises(UserError, match="is not the file that the card names"),
    ):
        found.load()
