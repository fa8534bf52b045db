import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.engines.engine import EngineError
from pipelines.workers import messages
from pipelines.workers.messages import RemoteError
from schemas.errors import StorageError, UserError, WorkerError


@given(st.text(), st.integers(min_value=0))
def test_requests_round_trip(name: str, number: int) -> None:
    assert messages.parse_request(messages.encode_request((name, number))) == (name, number)


@given(st.text())
def test_digests_round_trip(digest: str) -> None:
    assert messages.parse_response(messages.encode_digest(digest)) == digest


@pytest.mark.parametrize(
    ("kind", "got"),
    [
        (UserError, "a\nname"),
        (StorageError, "gs://b/ü"),
        (WorkerError, ("x", 1)),
        (WorkerError, 0.5),
        (WorkerError, None),
    ],
)
def test_errors_keep_their_class_and_fields(kind: type, got: object) -> None:
    sent = kind("a rule holds", value=got, hint="mend it")
    with pytest.raises(kind) as caught:
        messages.parse_response(messages.encode_error(sent))
    assert type(caught.value) is kind
    assert (caught.value.error, caught.value.hint) == ("a rule holds", "mend it")
    assert str(got) in str(caught.value.value)


def test_engine_errors_keep_their_text() -> None:
    with pytest.raises(EngineError, match="it scored none of 40"):
        messages.parse_response(
            messages.encode_error(EngineError("a model scores images; it scored none of 40"))
        )


def test_bugs_carry_their_traceback() -> None:
    def mistaken() -> None:
        raise KeyError("not there")

    try:
        mistaken()
    except KeyError as error:
        sent = messages.encode_error(error)
    with pytest.raises(RemoteError, match=r"in mistaken\n(?s:.*)KeyError: 'not there'"):
        messages.parse_response(sent)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"done": 3}',
        b'{"error": "SystemExit", "fields": {"error": "r", "value": "g", "hint": "m"}}',
        b'{"error": "UserError", "fields": {"error": "r"}}',
        b'{"error": "ValueError", "text": "t"}',
    ],
)
def test_invalid_responses_are_refused(message: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one
        messages.parse_response(message)
