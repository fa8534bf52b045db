import pytest

from schemas.errors import StorageError, UserError
from tests.other_stores import s3_bucket
from trainer.run import run_location
from trainer.run.run_location import BucketPlace, LocalPlace, run_place


@pytest.fixture
def run_bucket(bucket):
    """The emulator's bucket."""
    return bucket


def test_a_path_is_a_folder(tmp_path):
    place = run_place(tmp_path)
    assert place == LocalPlace(tmp_path)
    assert (place.uri, place.at("a/b")) == (str(tmp_path), str(tmp_path / "a" / "b"))


@pytest.mark.parametrize("where", ["gs://bucket/deep/run", "gs://bucket/deep/run/", "/gcs/bucket/deep/run"])
def test_a_bucket_may_be_named_in_two_ways(where):
    place = run_place(where)
    assert isinstance(place, BucketPlace)
    assert (place.uri, place.at("x")) == ("gs://bucket/deep/run", "gs://bucket/deep/run/x")


def test_what_is_no_store_is_refused():
    with pytest.raises(UserError, match="neither a path nor an address in gs://"):
        run_place("http://host/run")


def test_an_address_without_a_bucket_is_refused():
    with pytest.raises(UserError, match="the address names no bucket"):
        run_place("gs:///run")


def test_without_a_service_all_is_in_the_run_folder():
    found = run_location.of_run("out", {})
    assert found.run.uri == "out"
    assert (found.checkpoints.uri, found.tensorboard.uri) == ("out/checkpoints", "out/tensorboard")
    assert found.serving is None


def test_vertexs_variables_name_the_places():
    found = run_location.of_run(
        "",
        {
            "AIP_MODEL_DIR": "gs://b/model/",
            "AIP_CHECKPOINT_DIR": "gs://b/checkpoints/",
            "AIP_TENSORBOARD_LOG_DIR": "/gcs/b/logs",
        },
    )
    assert (found.run.uri, found.serving.uri) == ("gs://b/model", "gs://b/model")
    assert (found.checkpoints.uri, found.tensorboard.uri) == ("gs://b/checkpoints", "gs://b/logs")


def test_a_named_run_folder_comes_before_vertex_s(tmp_path):
    found = run_location.of_run(tmp_path, {"AIP_MODEL_DIR": "gs://b/model"})
    assert (found.run.uri, found.serving.uri) == (str(tmp_path), "gs://b/model")
    assert found.checkpoints.uri == f"{tmp_path}/checkpoints"


def test_no_folder_at_all_is_refused():
    with pytest.raises(UserError, match="Give --output, or set AIP_MODEL_DIR"):
        run_location.of_run("", {})


@pytest.fixture(params=["local", "s3", pytest.param("bucket", marks=pytest.mark.emulator)])
def place(request, tmp_path, monkeypatch):
    if request.param == "local":
        return LocalPlace(tmp_path / "place")
    if request.param == "s3":
        name = f"b{abs(hash(request.node.nodeid))}"
        store = s3_bucket(name, request.getfixturevalue("s3_endpoint"), monkeypatch)
        return run_place(f"{store.uri}/deep/place")
    return run_place(f"{request.getfixturevalue('run_bucket').uri}/deep/place")


def put(place, name: str, content: bytes) -> None:
    file = place.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def test_what_is_published_is_there_for_others(place):
    put(place, "a.bin", b"1")
    put(place, "deep/b.bin", b"22")
    put(place, "deep/er/c é.bin", b"333")
    place.publish("a.bin", "deep")
    other = LocalPlace(place.folder) if isinstance(place, LocalPlace) else run_place(place.uri)
    assert other.names() == ["a.bin", "deep/b.bin", "deep/er/c é.bin"]
    assert other.names("deep") == ["deep/b.bin", "deep/er/c é.bin"]
    assert other.fetch("deep/er/c é.bin").read_bytes() == b"333"
    assert other.exists("a.bin")
    assert not other.exists("deep")


def test_what_is_removed_is_gone_and_may_be_gone_before(place):
    put(place, "a.bin", b"1")
    place.publish("a.bin")
    for _ in range(2):
        place.remove("a.bin")
    assert place.names() == []


def test_a_file_that_was_never_published_is_a_users_error(run_bucket):
    with pytest.raises(UserError, match=r"file not found: 'gs://.*/run/a.bin'"):
        run_place(f"{run_bucket.uri}/run").fetch("a.bin")


def test_all_below_the_place_may_be_published_at_once(place):
    put(place, "events/x", b"1")
    place.publish("")
    put(place, "events/x", b"12")
    place.publish("")
    assert place.fetch("events/x").read_bytes() == b"12"


def test_a_folder_is_copied_into_a_place(place, tmp_path):
    source = tmp_path / "saved_model"
    (source / "variables").mkdir(parents=True)
    (source / "saved_model.pb").write_bytes(b"pb")
    (source / "variables" / "index").write_bytes(b"index")
    run_location.copy_folder(source, place)
    assert place.names() == ["saved_model.pb", "variables/index"]


def test_a_missing_bucket_is_a_storage_error(run_bucket):
    with pytest.raises(StorageError, match=r"'gs://no-such-bucket.*'. Check the bucket's name"):
        BucketPlace("gs://no-such-bucket/run").names()


def test_a_neighbor_with_the_same_beginning_is_not_the_place_s(run_bucket):
    run_bucket.put("run-2/a", b"x")
    run_bucket.put("run/b", b"x")
    assert run_place(f"{run_bucket.uri}/run").names() == ["b"]
