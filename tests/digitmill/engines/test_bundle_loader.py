import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.engines.bundle_files import read_card
from digitmill.engines.bundle_loader import open_bundle
from digitmill.engines.engine import LiteRtEngine
from digitmill.engines.engine_choice import EngineChoice, EngineKind
from digitmill.engines.saved_model import SavedModelEngine
from schemas.errors import UserError
from schemas.model import bundle as names


@pytest.fixture
def copy(bundle_path: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(bundle_path, tmp_path / "bundle")


def edit_card(path: pathlib.Path, change: Callable[[dict], None]) -> None:
    card = json.loads((path / names.CARD).read_text())
    change(card)
    (path / names.CARD).write_text(json.dumps(card))


def test_a_whole_bundle_opens(bundle_path: pathlib.Path) -> None:
    opened = open_bundle(bundle_path)
    assert opened.card.recipe == "dense-128"
    assert isinstance(opened.load(), LiteRtEngine)
    assert pathlib.Path(opened.place).is_absolute()


def test_the_digest_is_the_contents(bundle_path: pathlib.Path, copy: pathlib.Path) -> None:
    assert open_bundle(copy).digest == open_bundle(bundle_path).digest
    edit_card(copy, lambda card: card.update(seed=card["seed"] + 1))
    assert open_bundle(copy).digest != open_bundle(bundle_path).digest


@pytest.mark.parametrize(
    "name", [names.LITERT_MODEL, names.KERAS_MODEL, names.GOLDEN_BATCH, "saved_model/saved_model.pb"]
)
def test_a_flipped_byte_in_any_file_is_named(copy: pathlib.Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(UserError, match=f"{name} is not the file that the card names"):
        open_bundle(copy)


@pytest.mark.parametrize("name", [names.LITERT_MODEL, names.KERAS_MODEL, names.GOLDEN_BATCH])
def test_a_missing_file_is_named(copy: pathlib.Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(UserError, match=f"{name}: No such file"):
        open_bundle(copy)


def test_a_folder_without_a_card_is_no_bundle(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="model bundle not found"):
        open_bundle(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"it has no model_card\.json"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "{", '{"format": 1}', "\udcff"])
def test_a_card_that_cannot_be_read_is_refused(copy: pathlib.Path, text: str) -> None:
    (copy / names.CARD).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match="cannot be read"):
        open_bundle(copy)


@pytest.mark.parametrize(
    ("engine", "complaint"),
    [("litert", r"needs model\.tflite"), ("saved_model", r"needs saved_model/saved_model\.pb")],
)
def test_a_card_that_names_no_model_is_refused(copy: pathlib.Path, engine: str, complaint: str) -> None:
    edit_card(
        copy,
        lambda card: [
            card["files"].pop(name) for name in (*names.LITERT_MODELS, "saved_model/saved_model.pb")
        ],
    )
    for asked in ("auto", engine):
        with pytest.raises(UserError, match=complaint if asked == engine else "which the bundle lacks"):
            open_bundle(copy, asked)


def test_a_card_that_names_no_golden_batch_is_refused(copy: pathlib.Path) -> None:
    edit_card(copy, lambda card: card["files"].pop(names.GOLDEN_BATCH))
    with pytest.raises(UserError, match=r"names no golden\.npz"):
        open_bundle(copy)


def test_the_saved_model_is_loaded_from_the_files_that_the_card_names(copy: pathlib.Path) -> None:
    opened = open_bundle(copy, "saved_model")
    assert opened.engine == EngineChoice(EngineKind.SAVED_MODEL, "chosen by --engine")
    # TensorFlow would prefer this one, which nobody has looked at.
    (copy / "saved_model" / "saved_model.cpb").write_bytes(b"another")
    assert isinstance(opened.load(), SavedModelEngine)
    variables = copy / "saved_model" / "variables" / "variables.index"
    variables.write_bytes(variables.read_bytes() + b"\0")
    with pytest.raises(UserError, match="is not the file that the card names"):
        opened.load()


def test_both_engines_answer_alike(bundle_path: pathlib.Path, digits: np.ndarray) -> None:
    answers = [
        open_bundle(bundle_path, engine).load().probabilities(digits) for engine in ("litert", "saved_model")
    ]
    np.testing.assert_allclose(*answers, atol=1e-5)


def replace_golden(path: pathlib.Path, digits: np.ndarray, probabilities: np.ndarray) -> None:
    answers = {names.OUTPUT: probabilities, names.OUTPUT_INT8: probabilities}
    np.savez(path / names.GOLDEN_BATCH, digits=digits, **answers)
    digest = hashlib.sha256((path / names.GOLDEN_BATCH).read_bytes()).hexdigest()
    edit_card(path, lambda card: card["files"].update({names.GOLDEN_BATCH: digest}))


@pytest.mark.parametrize(
    ("engine", "wrong"),
    [("litert", 0.01), ("litert", np.nan), ("litert_int8", 0.1), ("litert_int8", np.nan)],
)
def test_a_wrong_answer_to_the_golden_batch_is_refused(copy: pathlib.Path, engine: str, wrong: float) -> None:
    output = names.OUTPUT_INT8 if engine == "litert_int8" else names.OUTPUT
    with np.load(copy / names.GOLDEN_BATCH) as golden:
        digits, probabilities = golden[names.INPUT], golden[output].copy()
    replace_golden(copy, digits, probabilities)
    open_bundle(copy, engine)
    probabilities[3, 5] += wrong
    replace_golden(copy, digits, probabilities)
    with pytest.raises(UserError, match="golden batch wrongly"):
        open_bundle(copy, engine)


def test_eight_bits_are_held_to_their_own_answers(copy: pathlib.Path) -> None:
    with np.load(copy / names.GOLDEN_BATCH) as golden:
        digits, whole, eight = (golden[name] for name in (names.INPUT, names.OUTPUT, names.OUTPUT_INT8))
    assert 1e-5 < np.abs(whole - eight).max() < 0.5
    found = open_bundle(copy, "litert_int8").load().probabilities(digits)
    np.testing.assert_allclose(found, eight, atol=1e-6)


def test_eight_bits_know_more_than_256_probabilities(copy: pathlib.Path, digits: np.ndarray) -> None:
    found = open_bundle(copy, "litert_int8").load().probabilities(digits)
    assert len(np.unique(found)) > 1_000
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_an_older_bundle_opens(copy: pathlib.Path, digits: np.ndarray) -> None:
    with np.load(copy / names.GOLDEN_BATCH) as golden:
        stored, answers = golden[names.INPUT], golden[names.OUTPUT]
    np.savez(copy / names.GOLDEN_BATCH, **{names.INPUT: stored, names.OUTPUT: answers})
    digest = hashlib.sha256((copy / names.GOLDEN_BATCH).read_bytes()).hexdigest()

    def as_before(card: dict) -> None:
        for name in ("trust", "exports", "litert_model", "command"):
            del card[name]
        del card["files"][names.LITERT_INT8_MODEL]
        card["files"][names.GOLDEN_BATCH] = digest

    edit_card(copy, as_before)
    assert open_bundle(copy).engine.kind is EngineKind.LITERT


@pytest.mark.parametrize(
    ("digits", "probabilities"),
    [
        (np.zeros((0, 28, 28), np.uint8), np.zeros((0, 10), np.float32)),
        (np.zeros((4, 28, 28), np.float32), np.zeros((4, 10), np.float32)),
        (np.zeros((4, 28, 28), np.uint8), np.zeros((3, 10), np.float32)),
    ],
)
def test_a_golden_batch_of_the_wrong_shape_is_refused(
    copy: pathlib.Path, digits: np.ndarray, probabilities: np.ndarray
) -> None:
    replace_golden(copy, digits, probabilities)
    with pytest.raises(UserError, match="wrong shape"):
        open_bundle(copy)


def test_a_model_that_changes_after_the_check_is_not_loaded(copy: pathlib.Path) -> None:
    opened = open_bundle(copy)
    (copy / opened.card.litert_model).write_bytes(b"another")
    with pytest.raises(UserError, match="is not the file that the card names"):
        opened.load()


def make_pipe(path: pathlib.Path) -> None:
    os.mkfifo(path)


ODD = {
    "pipe": (make_pipe, "not a regular file"),
    "folder": (pathlib.Path.mkdir, "not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "a link leads out of the bundle"),
    "link": (lambda path: path.symlink_to("/etc/hostname"), "a link leads out of the bundle"),
    "link-up": (lambda path: path.symlink_to("../else"), "a link leads out of the bundle"),
    "loop": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", [names.CARD, names.KERAS_MODEL])
def test_what_is_no_file_of_the_bundle_is_not_opened(copy: pathlib.Path, kind: str, name: str) -> None:
    make, said = ODD[kind]
    (copy.parent / "else").write_bytes(b"not of the bundle")
    (copy / name).unlink()
    make(copy / name)
    with pytest.raises(UserError, match=said):
        open_bundle(copy)
    if name == names.CARD:
        with pytest.raises(UserError, match=said):
            read_card(str(copy))


def test_a_link_within_the_bundle_is_followed(copy: pathlib.Path) -> None:
    (copy / names.LITERT_MODEL).rename(copy / "stored")
    (copy / names.LITERT_MODEL).symlink_to("stored")
    (copy.parent / "latest").symlink_to(copy)
    open_bundle(copy.parent / "latest").load()


@pytest.mark.parametrize("name", ["/etc/hostname", "../x", "saved_model/../../x", "", ".", "a//b", "a\0b"])
def test_a_card_that_names_a_file_elsewhere_is_refused(copy: pathlib.Path, name: str) -> None:
    edit_card(copy, lambda card: card["files"].update({name: "0" * 64}))
    with pytest.raises(UserError, match="a file outside the bundle") as refusal:
        open_bundle(copy)
    assert "\n" not in str(refusal.value)


def test_a_name_that_no_file_system_holds_is_refused(copy: pathlib.Path) -> None:
    edit_card(copy, lambda card: card["files"].update({"\ud800": "0" * 64, "x" * 5000: "0" * 64}))
    with pytest.raises(UserError, match="damaged model bundle"):
        open_bundle(copy)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": 1, "recipe": ' + "[" * 500 + "]" * 500 + "}"])
def test_a_card_that_is_nested_too_deeply_is_refused(copy: pathlib.Path, text: str) -> None:
    (copy / names.CARD).write_text(text)
    with pytest.raises(UserError, match="nested too deeply"):
        open_bundle(copy)
