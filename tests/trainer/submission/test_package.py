import pathlib
import tarfile

import pytest

from schemas.errors import UserError
from trainer.submission import package

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return package.build(tmp_path_factory.mktemp("package"))


@pytest.mark.slow
def test_the_package_holds_every_module_and_what_they_read(built):
    with tarfile.open(built.file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    rooms = ("digitmill", "pipelines", "schemas", "trainer")
    modules = {path.relative_to(ROOT).as_posix() for room in rooms for path in (ROOT / room).rglob("*.py")}
    assert modules <= names
    assert {"setup.py", "pyproject.toml", "digitmill/model/model_card.json"} <= names
    assert {"pipelines/report/templates/run.html", "digitmill/reports/assets/report.css"} <= names
    assert "schemas/generated/predictions.bigquery.json" in names
    assert [lock.parent for lock in built.locks] == [ROOT / "deploy" / "locks"] * len(built.locks)


@pytest.mark.slow
def test_the_digest_is_of_what_is_in_it_not_of_when_it_was_packed(built, tmp_path):
    again = tmp_path / "again.tar"
    with tarfile.open(built.file) as archive, tarfile.open(again, "w") as copy:
        for member in reversed(archive.getmembers()):
            member.mtime = 1
            copy.addfile(member, archive.extractfile(member))
    assert again.read_bytes() != built.file.read_bytes()
    assert package._digest_of(again) == built.digest


def test_package_and_locks_are_staged_under_their_content(built, bucket):
    built.stage(f"{bucket.uri}/staging/")
    folder = f"staging/{built.digest[:16]}"
    names = ("all.txt", "build.txt", "cuda.txt", built.file.name)
    assert sorted(bucket.names()) == [f"{folder}/{name}" for name in names]
    assert bucket.read(f"{folder}/{built.file.name}") == built.file.read_bytes()
    assert built.staged_in(f"{bucket.uri}/staging") == f"{bucket.uri}/{folder}"


def test_without_a_checkout_there_is_an_image_instead(tmp_path):
    with pytest.raises(UserError, match="--image"):
        package.build(tmp_path, tmp_path)


def test_a_checkout_that_does_not_build_is_one_line(tmp_path):
    (tmp_path / "setup.py").write_text("raise SystemExit('a broken checkout')\n")
    with pytest.raises(UserError, match="the checkout does not build") as refused:
        package.build(tmp_path, tmp_path)
    assert "\n" not in str(refused.value)
