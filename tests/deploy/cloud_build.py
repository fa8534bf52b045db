"""The builds' files as the tests use them: their steps, with the environment that Cloud Build gives them."""

import os
import pathlib
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).parents[2]


def _read(file: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))


CONFIG = _read("cloudbuild.yaml")
NIGHT = _read("deploy/nightly/cloudbuild.yaml")
IN_IMAGE = "/opt/digitmill/"
"""Where the scorer's image has the checkout's files."""

BUILT_IN = {"PROJECT_ID": "p", "BUILD_ID": "b-1"}
_NAME = re.compile(r"\$\{(\w+)\}")


def used(value: object) -> set[str]:
    """Return the substitutions that a part of the file names."""
    return set(_NAME.findall(yaml.safe_dump(value)))


def config_of(name: str) -> dict[str, Any]:
    """Return the file that has a step."""
    return NIGHT if name == "score" else CONFIG


def filled(text: str, given: Mapping[str, str], config: Mapping[str, Any] = CONFIG) -> str:
    """Return a text with its substitutions made, those within substitutions too."""
    values = {**BUILT_IN, **config["substitutions"], **given}
    while _NAME.search(text):
        text = _NAME.sub(lambda found: values[found[1]], text)
    return text


def step(name: str) -> dict[str, Any]:
    (found,) = (step for step in config_of(name)["steps"] if step["id"] == name)
    return found


def environment(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return what a step finds in its environment beside the process's own."""
    config = config_of(name)
    lines = [*config["options"].get("env", ()), *step(name).get("env", ())]
    return dict(filled(line, given, config).split("=", 1) for line in lines)


def start(name: str, given: Mapping[str, str], **more: str) -> subprocess.Popen:
    """Start a step, in a process group of its own."""
    command = [step(name)["entrypoint"], *(word.removeprefix(IN_IMAGE) for word in step(name)["args"])]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment(name, given), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(name: str, given: Mapping[str, str], **more: str) -> tuple[int, str]:
    """Run a step and return exit code and what it printed."""
    with start(name, given, **more) as process:
        printed, _ = process.communicate(timeout=600)
        return process.returncode, printed
