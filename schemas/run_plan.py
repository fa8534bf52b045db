"""The run plan: what a scoring run was asked to do, kept in its output so that it can be gone on with."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Self

from schemas import versioned

FILE = "run.json"
"""Name of the plan in the output folder; written first, once."""

FORMAT = 1
"""Version of the plan's format; a reader refuses another."""


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """All that the rows of a run depend on beside the images themselves.

    Attributes:
        inputs: what is to be scored; local places are absolute.
        model: digest of the bundle's card.
        preprocessing: version of the way from a file to the model's input.
        settings: options that change which images are scored or what is written of them.
        past: manifests of earlier runs, whose images are skipped, by their place: SHA-256.
    """

    inputs: tuple[str, ...]
    model: str
    preprocessing: str
    settings: Mapping[str, str | int | float | bool | None]
    past: Mapping[str, str]

    @property
    def model_version(self) -> tuple[str, str]:
        """What an answer to the same pixels depends on."""
        return self.model, self.preprocessing

    def differences(self, other: "RunPlan") -> Iterator[str]:
        """Yields in words what another plan would do otherwise; the past is chosen when a run begins."""
        mine, others = self._described(), other._described()
        for name in sorted(mine.keys() | others.keys()):
            if mine.get(name) != others.get(name):
                yield f"{name} is {mine.get(name)!r} there and {others.get(name)!r} here"

    def _described(self) -> dict[str, object]:
        named = {"inputs": self.inputs, "model": self.model, "preprocessing": self.preprocessing}
        return named | dict(self.settings)

    def to_json(self) -> str:
        """Returns the plan as the text of its file."""
        return versioned.dump(dataclasses.asdict(self), format=FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads a plan.

        Raises:
            ValueError: when the text is no JSON, no plan, or one of another format.
        """
        fields = versioned.parse(text, "a run plan", format=FORMAT)
        with versioned.check_fields("a run plan"):
            fields["inputs"] = tuple(fields["inputs"])
            return cls(**fields)
