"""Recognizes a full disk, which libraries report in ways of their own."""

import errno
import os
from typing import Final

_ERRORS: Final = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)}


def is_disk_full(error: BaseException) -> bool:
    """Whether an error is about a full disk or quota; TensorFlow and HDF5 only say so in their texts."""
    if isinstance(error, OSError) and error.errno in _ERRORS:
        return True
    return any(words in str(error) for words in _ERRORS.values())
