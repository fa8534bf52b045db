"""The plan of a scoring run: its inputs and settings, kept in the output so that the run can be resumed."""

import dataclasses
from collections.abc import Iterator, Mapping

from schemas.versioned import VersionedRecord

FILE = "run.json"
"""Name of the plan in the output folder; written first, once."""

FORMAT = 1
"""Version of the plan's format; readers refuse others."""


@dataclasses.dataclass(frozen=True)
class RunPlan(VersionedRecord, what="a run plan", format=FORMAT):
    """Everything besides the images that the rows of a run depend on.

    Attributes:
        inputs: inputs to score; local paths are absolute.
        model: digest of the bundle's card.
        preprocessing: version of the preprocessing.
        settings: options that change which images are scored or what is written.
        past: earlier runs whose images are skipped: SHA-256 of their manifests, by location.
    """

    inputs: tuple[str, ...]
    model: str
    preprocessing: str
    settings: Mapping[str, str | int | float | bool | None]
    past: Mapping[str, str]

    @property
    def model_version(self) -> tuple[str, str]:
        """Model and preprocessing. Runs with equal versions give equal predictions."""
        return self.model, self.preprocessing

    def differences(self, other: "RunPlan") -> Iterator[str]:
        """Yield the differences from another plan in words, ignoring the earlier runs."""
        mine, others = self._described(), other._described()
        for name in sorted(mine.keys() | others.keys()):
            if mine.get(name) != others.get(name):
                yield f"{name} was {_shown(mine.get(name))} and is now {_shown(others.get(name))}"

    def _described(self) -> dict[str, object]:
        named = {"inputs": self.inputs, "model": self.model, "preprocessing": self.preprocessing}
        return named | dict(self.settings)


def _shown(value: object) -> str:
    return ", ".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
