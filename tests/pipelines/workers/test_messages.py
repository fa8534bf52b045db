import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.engines.engine import EngineError
from pipelines.workers import messages
from pipelines.workers.messages import RemoteError
from schemas.errors import StorageError, UserError, WorkerError


@given(st.text(), st.integers(min_value=0))
def test_a_request_comes_through(name: str, number: int) -> None:
    assert messages.parse_request(messages.encode_request((name, number))) == (name, number)


@given(st.text())
def test_a_digest_comes_through(digest: str) -> None:
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
def test_an_error_of_ours_comes_through_as_what_it_is(kind: type, got: object) -> None:
    sent = kind("a rule holds", got=got, remedy="mend it")
    with pytest.raises(kind) as caught:
        messages.parse_response(messages.encode_error(sent))
    assert type(caught.value) is kind
    assert (caught.value.problem, caught.value.remedy) == ("a rule holds", "mend it")
    assert str(got) in str(caught.value.got)


def test_a_models_error_comes_through() -> None:
    with pytest.raises(EngineError, match="it scored none of 40"):
        messages.parse_response(
            messages.encode_error(EngineError("a model scores images; it scored none of 40"))
        )


def test_a_mistake_of_the_program_comes_with_its_traceback() -> None:
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
        b'{"error": "SystemExit", "fields": {"rule": "r", "got": "g", "remedy": "m"}}',
        b'{"error": "UserError", "fields": {"rule": "r"}}',
        b'{"error": "ValueError", "text": "t"}',
    ],
)
def test_anything_else_makes_no_sense_and_names_no_class_to_make(message: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one
        messages.parse_response(message)
