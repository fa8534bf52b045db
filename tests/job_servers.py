"""Beam's job servers for Flink and Spark: fetched or built once, and kept below `~/.cache/digitmill`."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import requests
from apache_beam.utils.subprocess_server import JavaJarServer

MAVEN = JavaJarServer.MAVEN_CENTRAL_REPOSITORY
RECIPE = pathlib.Path(__file__).parents[1] / "deploy/job-server/pom.xml"


def cache() -> pathlib.Path:
    """Return the folder of what is kept: in `$XDG_CACHE_HOME` where that is set."""
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(home) / "digitmill"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def get(address: str) -> requests.Response:
    """Return what a repository answers."""
    answer = requests.get(address, timeout=300)
    answer.raise_for_status()
    return answer


def job_server(task: str, *, profile: str) -> pathlib.Path:
    """Return a job server: the one that Beam publishes, or else one made of the same parts.

    Args:
        task: Beam's name of what builds it, such as `:runners:spark:3:job-server:shadowJar`.
        profile: of the recipe.

    Raises:
        OSError: when it cannot be had.
        RuntimeError: the same, in Beam's or Maven's words.
    """
    try:
        return published(task)
    except (OSError, RuntimeError):
        return built(profile)


def published(task: str) -> pathlib.Path:
    """Return the job server of this Beam, held against the checksum that its repository publishes."""
    address = JavaJarServer.path_to_beam_jar(task)
    path = pathlib.Path(JavaJarServer.local_jar(address, str(cache())))
    checked = path.with_suffix(".sha1")
    if not checked.exists():
        expected = get(f"{address}.sha1").text.split()[0]
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha1").hexdigest()
        if found != expected:
            path.unlink()
            raise RuntimeError(f"{address} has the checksum {found}; {expected} is published")
        checked.write_text(expected)
    return path


def built(profile: str) -> pathlib.Path:
    """Return the job server that the recipe describes, built anew when the recipe is."""
    digest = hashlib.sha256(RECIPE.read_bytes()).hexdigest()
    path = cache() / f"beam-job-server-{profile}-{digest[:16]}.jar"
    if path.exists():
        return path
    if shutil.which("mvn") is None:
        raise RuntimeError("it is not published where we can fetch it; install Maven to build one")
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        shutil.copy(RECIPE, folder)
        asked = ["package", "--activate-profiles", profile]
        build = ["mvn", "--batch-mode", "--no-transfer-progress", "--strict-checksums", *asked]
        done = subprocess.run(build, cwd=folder, capture_output=True, text=True, timeout=1800, check=False)
        if done.returncode:
            errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
            raise RuntimeError(f"Maven does not build it: {' '.join(errors[:1]) or done.stderr}")
        (pathlib.Path(folder) / "target/beam-job-server.jar").replace(path)
    return path
