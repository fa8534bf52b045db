"""Merges what workers read of a source: each reads a share, and all need the held-out images."""

import io
import json
from collections.abc import Callable, Sequence

import numpy as np

from trainer.data.share import Rows, Share
from trainer.data.splits import PARTS, SplitSummary

Exchange = Callable[[bytes], Sequence[bytes]]
"""Sends this worker's bytes to all workers, and returns those of every worker, in order."""


def merge(share: Share, exchange: Exchange) -> Share:
    """Returns a worker's share with the held-out images, rejects and counts of all workers."""
    received = [_unpack(data) for data in exchange(_pack(share))]
    parts = {PARTS[0]: share.parts[PARTS[0]]}
    for part in PARTS[1:]:
        columns = zip(*(one.parts[part] for one in received), strict=True)
        rows = Rows(*map(np.concatenate, columns))
        parts[part] = rows.take(np.argsort(rows.positions, kind="stable"))
    return Share(
        parts,
        rejects=[reject for one in received for reject in one.rejects],
        seen=sum(one.seen for one in received),
        all_train=sum((one.all_train for one in received), start=SplitSummary.empty()),
    )


def _pack(share: Share) -> bytes:
    rest = json.dumps(share.to_json()).encode()
    arrays = {
        f"{part} {field}": column
        for part in PARTS[1:]
        for field, column in share.parts[part]._asdict().items()
    }
    packed = io.BytesIO()
    np.savez(packed, rest=np.frombuffer(rest, np.uint8), **arrays)
    return packed.getvalue()


def _unpack(packed: bytes) -> Share:
    """Returns a worker's share without its training images."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        rest = json.loads(arrays["rest"].tobytes())
        parts = {part: Rows(*(arrays[f"{part} {field}"] for field in Rows._fields)) for part in PARTS[1:]}
    return Share.from_json(parts, rest)
