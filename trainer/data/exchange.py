"""What workers that share the reading of a source tell each other."""

import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from trainer.data.rejects import Reject
from trainer.data.share import Rows, Share, rejects_of, spelled
from trainer.data.splits import PARTS, Census

Exchange = Callable[[bytes], Sequence[bytes]]
"""Gives this worker's bytes to all workers, and returns every worker's in their order."""


def merged(share: Share, exchange: Exchange) -> Share:
    """Returns a share with what all workers held out, lost and counted; its training images stay its own."""
    told = [_unpack(given) for given in exchange(_pack(share))]
    parts = {PARTS[0]: share.parts[PARTS[0]]}
    for part in PARTS[1:]:
        columns = zip(*(one.parts[part] for one in told), strict=True)
        rows = Rows(*map(np.concatenate, columns))
        parts[part] = rows.take(np.argsort(rows.positions, kind="stable"))
    return Share(
        parts,
        rejects=[reject for one in told for reject in one.rejects],
        seen=sum(one.seen for one in told),
        all_train=sum((one.all_train for one in told), start=Census.nothing()),
    )


class _Told(NamedTuple):
    parts: dict[str, Rows]
    rejects: list[Reject]
    seen: int
    all_train: Census


def _pack(share: Share) -> bytes:
    rest = {
        "seen": share.seen,
        "rejects": spelled(share.rejects),
        "census": dataclasses.astuple(share.all_train),
    }
    arrays = {
        f"{part} {field}": column
        for part in PARTS[1:]
        for field, column in share.parts[part]._asdict().items()
    }
    packed = io.BytesIO()
    np.savez(packed, rest=np.frombuffer(json.dumps(rest).encode(), np.uint8), **arrays)
    return packed.getvalue()


def _unpack(packed: bytes) -> _Told:
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        rest = json.loads(arrays["rest"].tobytes())
        parts = {part: Rows(*(arrays[f"{part} {field}"] for field in Rows._fields)) for part in PARTS[1:]}
    counts, content = rest["census"]
    return _Told(parts, rejects_of(rest["rejects"]), rest["seen"], Census(tuple(counts), content))
