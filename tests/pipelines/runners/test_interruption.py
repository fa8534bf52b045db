import signal
from collections.abc import Iterator

import pytest

from pipelines.runners.interruption import resumable
from schemas.errors import StoppedError


@pytest.fixture
def ignored() -> Iterator[None]:
    """SIGINT is ignored, as in a background job of a shell without job control."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_with_the_command_that_resumes_it(sent: signal.Signals) -> None:
    before = signal.getsignal(sent)
    with pytest.raises(StoppedError, match="digitmill score --resume"), resumable("digitmill score --resume"):
        signal.raise_signal(sent)
    assert signal.getsignal(sent) is before


def test_an_ignored_sigint_stays_ignored(ignored: None) -> None:
    with resumable("digitmill score --resume"):
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_sigterm_stops_a_run_whose_ctrl_c_is_ignored(ignored: None) -> None:
    with pytest.raises(StoppedError), resumable("digitmill score --resume"):
        signal.raise_signal(signal.SIGTERM)
