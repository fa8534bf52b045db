"""Which GPUs go with which machines of Vertex AI, as Google documents them.

Sources, as of 2026:
    https://cloud.google.com/vertex-ai/docs/training/configure-compute
    https://cloud.google.com/compute/docs/accelerator-optimized-machines
    https://cloud.google.com/compute/docs/gpus
"""

import re
from collections.abc import Mapping
from typing import Final

from schemas.errors import UserError

BUILT_IN: Final[Mapping[str, tuple[str, int]]] = {
    **{f"a2-highgpu-{gpus}g": ("NVIDIA_TESLA_A100", gpus) for gpus in (1, 2, 4, 8)},
    "a2-megagpu-16g": ("NVIDIA_TESLA_A100", 16),
    **{f"a2-ultragpu-{gpus}g": ("NVIDIA_A100_80GB", gpus) for gpus in (1, 2, 4, 8)},
    **{f"a3-highgpu-{gpus}g": ("NVIDIA_H100_80GB", gpus) for gpus in (1, 2, 4, 8)},
    "a3-edgegpu-8g": ("NVIDIA_H100_80GB", 8),
    "a3-megagpu-8g": ("NVIDIA_H100_MEGA_80GB", 8),
    "a3-ultragpu-8g": ("NVIDIA_H200_141GB", 8),
    "a4-highgpu-8g": ("NVIDIA_B200", 8),
    "a4x-highgpu-4g": ("NVIDIA_GB200", 4),
    **{f"g2-standard-{cores}": ("NVIDIA_L4", 1) for cores in (4, 8, 12, 16, 32)},
    **{f"g2-standard-{cores}": ("NVIDIA_L4", cores // 12) for cores in (24, 48, 96)},
    **{f"g4-standard-{cores}": ("NVIDIA_RTX_PRO_6000", cores // 48) for cores in (48, 96, 192, 384)},
}
"""Kind and number of the GPUs that a machine type comes with."""

ATTACHED: Final[Mapping[str, Mapping[int, int]]] = {
    "NVIDIA_TESLA_P4": {1: 24, 2: 48, 4: 96},
    "NVIDIA_TESLA_P100": {1: 16, 2: 32, 4: 96},
    "NVIDIA_TESLA_T4": {1: 48, 2: 48, 4: 96},
    "NVIDIA_TESLA_V100": {1: 12, 2: 24, 4: 48, 8: 96},
}
"""Of each kind of GPU that N1 machines take: the numbers of them, and the most cores that each goes with."""

_N1: Final = re.compile(r"n1-(?:standard|highmem|highcpu)-(?P<cores>\d+)")
_WITHOUT: Final = re.compile(r"(?:e2|n2|n2d|n4|n4d|c2|c2d|c3|c3d|c4|c4a|c4d|h3|m1|m2|m3|t2a|t2d|z3)-.+")
"""Series of machines to which no GPU can be attached."""


def check(machine: str, kind: str | None, gpus: int) -> None:
    """Raise UserError if a machine type doesn't go with so many GPUs of a kind.

    Types that are in none of Google's tables are left to the service.

    Args:
        machine: the machine type.
        kind: the kind of GPU, as Vertex AI writes it; None without GPUs.
        gpus: GPUs of each machine.
    """
    if machine in BUILT_IN:
        if (kind, gpus) != BUILT_IN[machine]:
            raise _misfit(f"comes with {_amount(*BUILT_IN[machine])}", machine, kind, gpus)
    elif kind is not None and (n1 := _N1.fullmatch(machine)) is not None:
        counts = _attachable(int(n1["cores"]))
        if gpus not in counts.get(kind, ()):
            takes = {kind: counts[kind]} if kind in counts else counts
            raise _misfit(f"takes {_listed(takes)}", machine, kind, gpus)
    elif kind is not None and _WITHOUT.fullmatch(machine):
        raise _misfit("takes no GPUs", machine, kind, gpus)


def _misfit(takes: str, machine: str, kind: str | None, gpus: int) -> UserError:
    remedies = []
    if machine in BUILT_IN:
        own_kind, own_gpus = BUILT_IN[machine]
        remedies.append(f"--accelerator {own_kind} --gpus-per-worker {own_gpus}")
    if fitting := _machines_for(kind, gpus):
        remedies.append(f"--machine-type {', '.join(fitting)}")
    return UserError(
        f"--machine-type {machine} {takes}",
        value=_amount(kind, gpus) if kind is not None else "no GPU",
        hint=f"give {', or '.join(remedies)}" if remedies else "give another --gpus-per-worker",
    )


def _amount(kind: str, gpus: object) -> str:
    return f"{gpus} × {kind}"


def _attachable(cores: int) -> dict[str, list[int]]:
    """Return how many GPUs of each kind an N1 machine of so many cores takes."""
    counts = {
        kind: [gpus for gpus, most in limits.items() if cores <= most] for kind, limits in ATTACHED.items()
    }
    return {kind: numbers for kind, numbers in counts.items() if numbers}


def _listed(counts: Mapping[str, list[int]]) -> str:
    return " or ".join(_amount(kind, "/".join(map(str, numbers))) for kind, numbers in counts.items())


def _machines_for(kind: str | None, gpus: int) -> list[str]:
    """Return common machine types that go with the GPUs."""
    if kind is None:
        return ["n1-standard-8"]
    built_in = [machine for machine, own in BUILT_IN.items() if own == (kind, gpus)]
    return [*built_in, *(["n1-standard-8"] if gpus in ATTACHED.get(kind, {}) else [])]
