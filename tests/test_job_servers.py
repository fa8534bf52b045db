"""Job servers as far as that goes without a network; `make flink-test` and `make spark-test` use them."""

import pathlib

import pytest

from tests import job_servers


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return job_servers.cache()


@pytest.fixture
def maven(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A stand-in for Maven that notes what it was asked, and builds nothing but a name."""
    program = tmp_path / "bin/mvn"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nmkdir target\necho jar > target/beam-job-server.jar\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


def test_without_maven_the_remedy_is_said(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(RuntimeError, match="install Maven to build one"):
        job_servers.built("flink")


def test_each_is_built_once(cache: pathlib.Path, maven: pathlib.Path, tmp_path: pathlib.Path) -> None:
    paths = [job_servers.built(profile) for profile in ("flink", "spark", "flink")]
    assert sorted(cache.iterdir()) == sorted(set(paths))
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in asked] == ["flink", "spark"]


def test_a_recipe_that_changed_is_built_anew(
    cache: pathlib.Path, maven: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = job_servers.built("flink")
    changed = tmp_path / "pom.xml"
    changed.write_text("<project/>")
    monkeypatch.setattr(job_servers, "RECIPE", changed)
    assert job_servers.built("flink") != before


def test_what_maven_says_is_handed_on_in_one_line(cache: pathlib.Path, maven: pathlib.Path) -> None:
    maven.write_text('#!/bin/sh\necho "[ERROR] no such part"\necho "[ERROR] more"\nexit 1\n')
    with pytest.raises(RuntimeError, match=r"Maven does not build it: \[ERROR\] no such part$"):
        job_servers.built("flink")
    assert list(cache.iterdir()) == []
