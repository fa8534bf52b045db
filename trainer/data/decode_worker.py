"""A decoder process: prepares chunks for `trainer.data.decoder_pool` until that closes the connection.

Usage: python -m trainer.data.decode_worker

Standard input is a connection. It carries the task, then one chunk at a time; the reply to each is a share.
Requests are pickled, because they come from the parent process. Replies are not, because this process decodes
untrusted files.
"""

import json
import os
import pickle
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from schemas.errors import ERRORS
from trainer.data.share import Share

SHARE, REFUSED, CRASHED = b"s", b"r", b"c"
"""First byte of a reply: what follows is a share; in JSON, an error's kind and fields, to be
shown as one line as in a thread; or a traceback."""


def main() -> None:
    """Serve the process that started this one."""
    connection = Connection(0)
    try:
        preparation, processes = pickle.loads(connection.recv_bytes())
        with preparation(processes) as prepare:
            while True:
                connection.send_bytes(_reply(prepare, pickle.loads(connection.recv_bytes())))
    except (EOFError, OSError):
        # Exit now: the caller is gone, and nothing is written here.
        os._exit(0)


def _reply(prepare: Callable[[Any], Share], chunk: Any) -> bytes:
    try:
        return SHARE + prepare(chunk).to_bytes()
    except tuple(ERRORS.values()) as error:
        kind = next(name for name, kind in ERRORS.items() if isinstance(error, kind))
        return REFUSED + json.dumps([kind, error.fields()]).encode()
    except Exception as error:  # any error is sent to the caller, which raises it
        return CRASHED + json.dumps("".join(traceback.format_exception(error))).encode()


if __name__ == "__main__":
    main()
