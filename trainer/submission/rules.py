"""Formats of names, amounts and times on clusters, checked before anything is uploaded."""

import dataclasses
import re
from typing import Final

from schemas.errors import UserError

_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"


@dataclasses.dataclass(frozen=True)
class Rule:
    """The format of a value.

    Attributes:
        words: what it must be, after "--FLAG is not".
        pattern: regular expression that the whole value matches.
        example: a valid value.
    """

    words: str
    pattern: str
    example: str

    def check(self, flag: str, value: str | None) -> None:
        """Raise UserError for a value of another format; None is valid."""
        if value is not None and not re.fullmatch(self.pattern, value):
            raise UserError(f"{flag} is not {self.words}", value=value, hint=f"write it as {self.example}")


PROJECT: Final = Rule(
    "the ID of a Google Cloud project, not its title", r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?", "my-project-1"
)
REGION: Final = Rule("a region of Google Cloud", r"[a-z]+-[a-z]+\d+", "europe-west4")
MACHINE: Final = Rule(
    "a machine type of Google Cloud", r"[a-z][a-z0-9]*(-[a-z0-9]+)+", "n1-standard-8 or g2-standard-12"
)
ACCOUNT: Final = Rule(
    "a service account's address", r"[^@\s]+@[^@\s]+\.[^@\s]+", "trainer@my-project-1.iam.gserviceaccount.com"
)
TENSORBOARD: Final = Rule(
    "the full name of a TensorBoard instance",
    r"projects/[^/\s]+/locations/[^/\s]+/tensorboards/[^/\s]+",
    "projects/my-project-1/locations/europe-west4/tensorboards/1234",
)

LABEL: Final = Rule("a name of lower-case letters, digits and hyphens", _LABEL, "vision-team")
OBJECT: Final = Rule(
    "the name of a Kubernetes object: lower-case letters, digits, hyphens and dots",
    rf"{_LABEL}(\.{_LABEL})*",
    "train-data",
)
LABEL_KEY: Final = Rule(
    "a label's key, as Kubernetes writes them",
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
    "nvidia.com/gpu.product",
)
LABEL_VALUE: Final = Rule(
    "a label's value: at most 63 letters, digits, hyphens, underscores and dots",
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
    "NVIDIA-L4",
)
CORES: Final = Rule("a number of cores, as Kubernetes writes them", r"\d+(\.\d+)?|\d+m", "4 or 7500m")
MEMORY: Final = Rule(
    "an amount of memory, as Kubernetes writes them", r"\d+(\.\d+)?([kMGTPE]|[KMGTPE]i)?", "16Gi"
)
_UNITS: Final = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGTPE", start=1)},
}


def amount_in_bytes(amount: str) -> float:
    """Return the bytes of an amount of memory that fits the rule `MEMORY`."""
    number = amount.rstrip("kKMGTPEi")
    return float(number) * _UNITS[amount.removeprefix(number)]


SLURM_CORES: Final = Rule("a whole number of cores", r"[1-9]\d*", "8")
SLURM_TIME: Final = Rule(
    "a time limit, as Slurm writes them",
    r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|(?i:unlimited|infinite)",
    "04:00:00, or 2-12 for two days and a half",
)
SLURM_NAME: Final = Rule("a name without spaces", r"[^\s\"'`$\\;&|<>()]+", "gpu")
