"""cloudbuild.yaml as the tests use it: its steps, with the environment that Cloud Build would give them."""

import os
import pathlib
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text(encoding="utf-8"))

BUILT_IN = {"PROJECT_ID": "p", "BUILD_ID": "b-1"}
_NAME = re.compile(r"\$\{(\w+)\}")


def used(value: object) -> set[str]:
    """Return the substitutions that a part of the file names."""
    return set(_NAME.findall(yaml.safe_dump(value)))


def filled(text: str, given: Mapping[str, str]) -> str:
    """Return a text with its substitutions made, those within substitutions too."""
    values = {**BUILT_IN, **CONFIG["substitutions"], **given}
    while _NAME.search(text):
        text = _NAME.sub(lambda found: values[found[1]], text)
    return text


def step(name: str) -> dict[str, Any]:
    (found,) = (step for step in CONFIG["steps"] if step["id"] == name)
    return found


def environment(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return what a step finds in its environment beside the process's own."""
    lines = [*CONFIG["options"]["env"], *step(name).get("env", ())]
    return dict(filled(line, given).split("=", 1) for line in lines)


def start(name: str, given: Mapping[str, str], **more: str) -> subprocess.Popen:
    """Start a step, in a process group of its own."""
    command = [step(name)["entrypoint"], *step(name)["args"]]
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
