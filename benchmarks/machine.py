"""The machine that was measured: processor, memory, versions, and its load before."""

import datetime
import importlib.metadata
import pathlib
import platform
import subprocess
from typing import Any, Final

import psutil

from benchmarks.process import ROOT
from digitmill.machine import cpu_count, total_memory

FILE: Final = "machine.json"
"""Its name in a folder of results."""

QUIET: Final = 0.3
"""Greatest load before measuring."""

PACKAGES: Final = (
    "apache-beam",
    "tensorflow",
    "keras",
    "ai-edge-litert",
    "ray",
    "numpy",
    "opencv-python-headless",
    "obstore",
)


def describe(digits: str) -> dict[str, Any]:
    """Return what figures depend on, for JSON.

    Args:
        digits: where the images come from.
    """
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "processor": processor(),
        "cores": cpu_count(),
        "memory_gb": round(total_memory() / 1e9),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "load": round(psutil.getloadavg()[0], 2),
        "digits": digits,
        "versions": {name: version for name in PACKAGES if (version := installed(name))},
    }


def busy(machine: dict[str, Any]) -> bool:
    """Whether other work was running when the measuring began."""
    return machine["load"] > QUIET


def sentences(machine: dict[str, Any]) -> str:
    """Return the description in a few lines."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    warning = f" The machine was busy (load {machine['load']}): measure again." if busy(machine) else ""
    engines = "".join(f", {recipe} by {engine}" for recipe, engine in machine.get("engines", {}).items())
    return (
        f"Measured on {machine['date']} with {machine['digits']}: "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {machine['python']}.{warning}\n{versions}{engines}."
    )


def processor(info: pathlib.Path = pathlib.Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, or its architecture where the system does not name it."""
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def installed(package: str) -> str | None:
    """Return a package's version, or None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str:
    """Return the commit that is measured, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
