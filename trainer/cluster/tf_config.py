"""`TF_CONFIG`: the environment variable that tells TensorFlow the workers of a job and this one's index.

Vertex AI, Kubernetes and Slurm describe a job in variables of their own; `set_from_launcher` translates
them.
"""

import dataclasses
import json
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final

from schemas.errors import UserError
from schemas.versioned import parse_json

VARIABLE: Final = "TF_CONFIG"
"""The variable; training services set it, or users by hand."""

WORKERS: Final = "DIGITMILL_WORKERS"
"""Variable in which submitted jobs list all workers, the chief first: `HOST:PORT,HOST:PORT`."""

INDEX_VARIABLES: Final = ("JOB_COMPLETION_INDEX", "SLURM_PROCID")
"""Variables in which Kubernetes and Slurm tell a process its index, from 0."""

CLUSTER_SPEC: Final = "CLUSTER_SPEC"
"""Vertex AI's variable: the hosts of each worker pool, and this worker's pool and index in it."""

_POOLS: Final = ("workerpool0", "workerpool1")
"""Vertex AI's pools of the chief and the workers; later pools would be parameter servers and evaluators."""

_ROLES: Final = ("chief", "worker")
_EXAMPLE: Final = '{"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": 0}}'

PARAMETER_SERVER_REASON: Final = (
    "for a network this small, sending weights to parameter servers and back costs more than the step; "
    "every worker keeps a copy instead"
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of one job.

    Attributes:
        workers: number of workers, including the chief.
        index: this worker's index; the chief's is 0.
        addresses: `HOST:PORT` of each worker, the chief's first; empty for a single worker without one.
    """

    workers: int = 1
    index: int = 0
    addresses: tuple[str, ...] = dataclasses.field(default=(), compare=False)

    @property
    def is_chief(self) -> bool:
        """Whether this worker prints and writes files."""
        return self.index == 0


def read(environment: Mapping[str, str]) -> Cluster:
    """Return the cluster in `TF_CONFIG`, by default a single worker; raise UserError if it is invalid."""
    text = environment.get(VARIABLE, "")
    if not text.strip():
        return Cluster()
    addresses, task = _parse(text)
    if addresses.get("ps") or task.get("type") in ("ps", "evaluator"):
        raise UserError(
            "TF_CONFIG has tasks other than a chief and workers",
            value=str(task.get("type")) if task.get("type") in ("ps", "evaluator") else "ps",
            hint=f"leave the others out: {PARAMETER_SERVER_REASON}",
        )
    return _place(addresses, task) if any(addresses.values()) else Cluster()


def tf_config(workers: Sequence[str], index: int) -> str:
    """Return the `TF_CONFIG` of one worker.

    Args:
        workers: `HOST:PORT` of each; the first is the chief.
        index: this worker's index.

    Raises:
        UserError: if an address has no port, two are the same, or the index is out of range.
    """
    _check_addresses(workers, hint=f"set {WORKERS} to addresses separated by commas")
    if len(set(workers)) < len(workers):
        raise UserError(
            "two workers have the same address",
            value=",".join(workers),
            hint=f"name each once in {WORKERS}",
        )
    if not 0 <= index < len(workers):
        raise UserError(
            f"the worker's index is outside [0, {len(workers)})",
            value=index,
            hint=f"start as many processes as {WORKERS} names",
        )
    return json.dumps({"cluster": {"worker": list(workers)}, "task": {"type": "worker", "index": index}})


def set_from_launcher(environment: MutableMapping[str, str]) -> None:
    """Set `TF_CONFIG` from `DIGITMILL_WORKERS` or Vertex AI's `CLUSTER_SPEC`, unless it is set already.

    Raises:
        UserError: if the launcher's variables contradict each other.
    """
    if environment.get(VARIABLE, "").strip():
        return
    if workers := environment.get(WORKERS, "").strip():
        environment[VARIABLE] = tf_config(workers.split(","), _index(environment))
    elif spec := environment.get(CLUSTER_SPEC, "").strip():
        environment[VARIABLE] = _from_cluster_spec(spec)


def _index(environment: Mapping[str, str]) -> int:
    index = next((environment[name] for name in INDEX_VARIABLES if name in environment), "")
    if not index.isdecimal():
        raise UserError(
            f"{' or '.join(INDEX_VARIABLES)} does not hold a worker's index",
            value=index,
            hint="start the job as an Indexed Job or with srun, or set TF_CONFIG yourself",
        )
    return int(index)


def _from_cluster_spec(spec: str) -> str:
    addresses, task = _parse(spec, variable=CLUSTER_SPEC)
    others = {pool: hosts for pool, hosts in addresses.items() if pool not in _POOLS and hosts}
    mine = str(task.get("type"))
    if others or mine not in _POOLS:
        raise UserError(
            "the job has pools other than a chief and workers",
            value=", ".join(others) or mine,
            hint=f"leave the other pools out: {PARAMETER_SERVER_REASON}",
        )
    workers = [host for pool in _POOLS for host in addresses.get(pool, ())]
    before = len(addresses.get(_POOLS[0], ())) if mine == _POOLS[1] else 0
    try:
        return tf_config(workers, before + int(str(task["index"])))
    except (KeyError, ValueError) as error:
        raise UserError(
            "the task in CLUSTER_SPEC has no valid index", value=spec, hint="let Vertex AI set it"
        ) from error


def _parse(text: str, *, variable: str = VARIABLE) -> tuple[dict[str, list[str]], dict[str, object]]:
    try:
        config = parse_json(text)
        addresses = {str(role): list(hosts) for role, hosts in config.get("cluster", {}).items()}
        return addresses, dict(config.get("task", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{variable} is not a cluster and a task in JSON", value=text, hint=_EXAMPLE
        ) from error


def _check_addresses(workers: Sequence[str], *, hint: str) -> None:
    for worker in workers:
        host, _, port = worker.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise UserError("the address of a worker is not HOST:PORT", value=worker, hint=hint)


def _place(addresses: Mapping[str, list[str]], task: Mapping[str, object]) -> Cluster:
    names = [(role, index) for role in _ROLES for index in range(len(addresses.get(role, ())))]
    try:
        mine = (str(task["type"]), int(str(task["index"])))
        index = names.index(mine)
    except (KeyError, ValueError) as error:
        raise UserError(
            "the task in TF_CONFIG is not in its cluster", value=json.dumps(dict(task)), hint=_EXAMPLE
        ) from error
    workers = tuple(str(address) for role in _ROLES for address in addresses.get(role, ()))
    if len(workers) > 1:
        _check_addresses(workers, hint=_EXAMPLE)
    return Cluster(workers=len(workers), index=index, addresses=workers)
