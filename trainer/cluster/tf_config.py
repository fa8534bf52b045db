"""`TF_CONFIG`: which machines train together, and which of them this one is.

Vertex AI, Kubernetes and Slurm each say that in variables of their own; `announce` makes `TF_CONFIG` of
them, for TensorFlow reads nothing else.
"""

import dataclasses
import json
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final

from schemas.errors import UserError

VARIABLE: Final = "TF_CONFIG"
"""Environment variable that training services set, and that may be set by hand."""

WORKERS: Final = "DIGITMILL_WORKERS"
"""Environment variable in which submitted jobs name all workers, the chief first: `HOST:PORT,HOST:PORT`."""

NUMBERS: Final = ("JOB_COMPLETION_INDEX", "SLURM_PROCID")
"""Environment variables by which Kubernetes and Slurm tell a process its number among them, from 0."""

CLUSTER_SPEC: Final = "CLUSTER_SPEC"
"""Vertex AI's own variable: the hosts of each worker pool, and the pool and number of this one."""

_POOLS: Final = ("workerpool0", "workerpool1")
"""Vertex AI's pools of the chief and of the workers; servers and evaluators would be in those after them."""

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


def tf_config(workers: Sequence[str], index: int) -> str:
    """Returns the `TF_CONFIG` of one worker.

    Args:
        workers: `HOST:PORT` of each; the first is the chief.
        index: this worker's place among them.

    Raises:
        UserError: when an address has no port, two are the same, or there is no such place.
    """
    for worker in workers:
        host, _, port = worker.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise UserError(
                "a worker's address is HOST:PORT", got=worker, remedy=f"set {WORKERS} to such, with commas"
            )
    if len(set(workers)) < len(workers):
        raise UserError(
            "each worker has an address of its own",
            got=",".join(workers),
            remedy=f"name each once in {WORKERS}",
        )
    if not 0 <= index < len(workers):
        raise UserError(
            f"a worker's number is in [0, {len(workers)})",
            got=index,
            remedy=f"start as many processes as {WORKERS} names",
        )
    return json.dumps({"cluster": {"worker": list(workers)}, "task": {"type": "worker", "index": index}})


def announce(environment: MutableMapping[str, str]) -> None:
    """Sets `TF_CONFIG` from what the launcher says: `DIGITMILL_WORKERS`, or Vertex AI's `CLUSTER_SPEC`.

    One that is set already stays, and where no launcher speaks nothing is set.

    Raises:
        UserError: when what the launcher says does not fit together.
    """
    if environment.get(VARIABLE, "").strip():
        return
    if workers := environment.get(WORKERS, "").strip():
        environment[VARIABLE] = tf_config(workers.split(","), _number(environment))
    elif spec := environment.get(CLUSTER_SPEC, "").strip():
        environment[VARIABLE] = _of_pools(spec)


def _number(environment: Mapping[str, str]) -> int:
    told = [environment[name] for name in NUMBERS if name in environment]
    if not told or not told[0].isdecimal():
        raise UserError(
            f"a worker knows its number by {' or '.join(NUMBERS)}",
            got=told[0] if told else "",
            remedy="start it by an Indexed Job or by srun, or set TF_CONFIG yourself",
        )
    return int(told[0])


def _of_pools(spec: str) -> str:
    addresses, task = _parse(spec, variable=CLUSTER_SPEC)
    others = {pool: hosts for pool, hosts in addresses.items() if pool not in _POOLS and hosts}
    mine = str(task.get("type"))
    if others or mine not in _POOLS:
        raise UserError(
            "a job has a chief and workers only",
            got=", ".join(others) or mine,
            remedy=f"leave the other pools out: {PARAMETER_SERVER_REASON}",
        )
    workers = [host for pool in _POOLS for host in addresses.get(pool, ())]
    before = len(addresses.get(_POOLS[0], ())) if mine == _POOLS[1] else 0
    try:
        return tf_config(workers, before + int(str(task["index"])))
    except (KeyError, ValueError) as error:
        raise UserError(
            "CLUSTER_SPEC's task has a number", got=spec, remedy="let Vertex AI set it"
        ) from error


def _parse(text: str, *, variable: str = VARIABLE) -> tuple[dict[str, list[str]], dict[str, object]]:
    try:
        config = json.loads(text)
        addresses = {str(role): list(hosts) for role, hosts in config.get("cluster", {}).items()}
        return addresses, dict(config.get("task", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{variable} is a cluster and a task in JSON", got=text, remedy=_EXAMPLE) from error


def _place(addresses: Mapping[str, list[str]], task: Mapping[str, object]) -> Cluster:
    names = [(role, index) for role in _ROLES for index in range(len(addresses.get(role, ())))]
    try:
        mine = (str(task["type"]), int(str(task["index"])))
        return Cluster(workers=len(names), index=names.index(mine))
    except (KeyError, ValueError) as error:
        raise UserError(
            "TF_CONFIG's task is one of its cluster", got=json.dumps(dict(task)), remedy=_EXAMPLE
        ) from error
