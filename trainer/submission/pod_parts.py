"""What pods are given beside the training: volumes, secrets, variables, tolerations, node labels.

Each is one value of a repeatable flag of `digitmill submit --to kubernetes`.
"""

import dataclasses
import re
from typing import Any, Final

from schemas.errors import UserError
from trainer.cluster import tf_config
from trainer.submission import rules

_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_SET_BY_SUBMIT: Final = (tf_config.WORKERS, tf_config.VARIABLE, *tf_config.INDEX_VARIABLES)


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume that all workers share.

    Attributes:
        claim: name of its PersistentVolumeClaim, writable by many nodes.
        path: where it is mounted.
    """

    claim: str
    path: str

    @classmethod
    def of(cls, text: str) -> "Volume":
        """Parse `CLAIM:/PATH`; raise UserError for anything else."""
        claim, _, path = text.partition(":")
        if not claim or not path.startswith("/") or path == "/":
            raise UserError(
                "--volume is not CLAIM:/PATH", value=text, hint="write it as train-data:/mnt/train"
            )
        rules.OBJECT.check("the claim of --volume", claim)
        return cls(claim, path.rstrip("/"))

    @property
    def source(self) -> dict[str, Any]:
        """The volume in a pod's specification, without its name."""
        return {"persistentVolumeClaim": {"claimName": self.claim}}


@dataclasses.dataclass(frozen=True)
class Secret:
    """A Secret whose keys are environment variables or, with a path, files there.

    Attributes:
        name: the Secret's name.
        path: where it is mounted, read-only; None for variables.
    """

    name: str
    path: str | None = None

    @classmethod
    def of(cls, text: str) -> "Secret":
        """Parse `NAME` or `NAME:/PATH`; raise UserError for anything else."""
        name, colon, path = text.partition(":")
        if not name or (colon and (not path.startswith("/") or path == "/")):
            raise UserError(
                "--secret is neither NAME nor NAME:/PATH",
                value=text,
                hint="write it as wandb-key, or as s3-credentials:/etc/s3",
            )
        rules.OBJECT.check("the name of --secret", name)
        return cls(name, path.rstrip("/") or None)

    @property
    def source(self) -> dict[str, Any]:
        """The volume in a pod's specification, without its name."""
        return {"secret": {"secretName": self.name}}


@dataclasses.dataclass(frozen=True)
class Variable:
    """An environment variable of all workers."""

    name: str
    value: str

    @classmethod
    def of(cls, text: str) -> "Variable":
        """Parse `NAME=VALUE`; raise UserError for anything else, or a variable that `submit` sets."""
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UserError("--env is not NAME=VALUE", value=text, hint="write it as NCCL_DEBUG=INFO")
        if name in _SET_BY_SUBMIT:
            raise UserError(
                "--env cannot set a variable that digitmill needs to tell workers apart",
                value=name,
                hint="leave it out",
            )
        return cls(name, value)


@dataclasses.dataclass(frozen=True)
class NodeLabel:
    """A label that nodes must have."""

    key: str
    value: str

    @classmethod
    def of(cls, text: str) -> "NodeLabel":
        """Parse `KEY=VALUE`; raise UserError for anything else."""
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(
                "--node-selector is not KEY=VALUE",
                value=text,
                hint="write it as nvidia.com/gpu.product=NVIDIA-L4",
            )
        rules.LABEL_KEY.check("the key of --node-selector", key)
        rules.LABEL_VALUE.check("the value of --node-selector", value or None)
        return cls(key, value)


@dataclasses.dataclass(frozen=True)
class Toleration:
    """A taint of nodes that pods tolerate.

    Attributes:
        key: the taint's key.
        value: its value; None for any.
        effect: what the taint does; None for whatever it does.
    """

    key: str
    value: str | None = None
    effect: str | None = None

    @classmethod
    def of(cls, text: str) -> "Toleration":
        """Parse `KEY[=VALUE][:EFFECT]`, as kubectl writes taints; raise UserError for anything else."""
        taint, _, effect = text.partition(":")
        key, equals, value = taint.partition("=")
        if ":" in text and effect not in _EFFECTS:
            raise UserError(
                f"the effect of --toleration must be one of {', '.join(_EFFECTS)}",
                value=text,
                hint="write it as nvidia.com/gpu=present:NoSchedule",
            )
        rules.LABEL_KEY.check("the key of --toleration", key)
        rules.LABEL_VALUE.check("the value of --toleration", value or None)
        return cls(key, value if equals else None, effect or None)

    def as_data(self) -> dict[str, str]:
        """Return it in the form of a pod's specification."""
        match = {"operator": "Exists"} if self.value is None else {"operator": "Equal", "value": self.value}
        return {"key": self.key, **match, **({"effect": self.effect} if self.effect else {})}
