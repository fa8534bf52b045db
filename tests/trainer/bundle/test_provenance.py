import pathlib
import re
import shutil
import subprocess

import pytest

from trainer.bundle import provenance


def test_versions_are_those_installed():
    versions = provenance.versions()
    assert {"python", "keras", "numpy", "tensorflow"} <= versions.keys()
    assert all(re.match(r"\d+\.", version) for version in versions.values())


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> pathlib.Path:
    """A repository with a copy of the module, which the module takes for itself."""
    if shutil.which("git") is None:
        pytest.skip("git is missing")
    shutil.copy(provenance.__file__, tmp_path / "provenance.py")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    git(tmp_path, "init", "--quiet")
    return tmp_path


def git(folder: pathlib.Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_commit_is_that_of_the_checkout(checkout):
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "first")
    git(checkout, "tag", "v1")
    assert provenance.git_commit() == git(checkout, "rev-parse", "HEAD")


def test_changed_files_show_in_the_commit(checkout):
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "first")
    (checkout / "provenance.py").write_text("changed")
    assert provenance.git_commit() == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_a_copy_within_another_checkout_has_no_commit(checkout):
    (checkout / "theirs").touch()
    git(checkout, "add", "theirs")
    git(checkout, "commit", "--quiet", "--message", "theirs")
    assert provenance.git_commit() == ""


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.git_commit() == ""
