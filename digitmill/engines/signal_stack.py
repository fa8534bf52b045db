"""Keeps the stack on which a thread handles signals when native code changes it."""

import contextlib
import ctypes
from collections.abc import Iterator


class _SignalStack(ctypes.Structure):
    """`stack_t` of Linux's signal.h."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextlib.contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Context manager that restores this thread's signal stack on exit.

    Raises:
        OSError: when the system cannot read or set the stack.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = _SignalStack()
    _check(libc.sigaltstack(None, ctypes.byref(before)))
    try:
        yield
    finally:
        _check(libc.sigaltstack(ctypes.byref(before), None))


def _check(status: int) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), "sigaltstack failed")
