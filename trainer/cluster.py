"""`TF_CONFIG`: which machines train together, and which of them this one is."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Final

from schemas.errors import UserError

VARIABLE: Final = "TF_CONFIG"
"""Environment variable that training services set, and that may be set by hand."""

_ROLES: Final = ("chief", "worker")
_EXAMPLE: Final = '{"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": 0}}'

PARAMETER_SERVER_REASON: Final = (
    "a digit network is so small that sending its weights to servers and back costs more than the step; "
    "every worker keeps a copy instead"
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of one job.

    Attributes:
        workers: number of workers, the chief among them.
        index: this worker's number, from 0; the chief's is 0.
    """

    workers: int = 1
    index: int = 0

    @property
    def is_chief(self) -> bool:
        """Whether this worker prints and writes."""
        return self.index == 0


def read(environment: Mapping[str, str]) -> Cluster:
    """Returns the cluster that `TF_CONFIG` names; one worker where it is not set or names no cluster.

    Raises:
        UserError: when it is no JSON, names no task of its cluster, or names parameter servers.
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        return Cluster()
    addresses, task = _parse(text)
    if addresses.get("ps") or task.get("type") in ("ps", "evaluator"):
        raise UserError(
            "TF_CONFIG has a chief and workers only",
            got=str(task.get("type")) if task.get("type") in ("ps", "evaluator") else "ps",
            remedy=f"leave the others out: {PARAMETER_SERVER_REASON}",
        )
    return _place(addresses, task) if any(addresses.values()) else Cluster()


def _parse(text: str) -> tuple[dict[str, list[str]], dict[str, object]]:
    try:
        config = json.loads(text)
        addresses = {str(role): list(hosts) for role, hosts in config.get("cluster", {}).items()}
        return addresses, dict(config.get("task", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError("TF_CONFIG is a cluster and a task in JSON", got=text, remedy=_EXAMPLE) from error


def _place(addresses: Mapping[str, list[str]], task: Mapping[str, object]) -> Cluster:
    names = [(role, index) for role in _ROLES for index in range(len(addresses.get(role, ())))]
    try:
        mine = (str(task["type"]), int(str(task["index"])))
        return Cluster(workers=len(names), index=names.index(mine))
    except (KeyError, ValueError) as error:
        raise UserError(
            "TF_CONFIG's task is one of its cluster", got=json.dumps(dict(task)), remedy=_EXAMPLE
        ) from error
