import dataclasses
import pathlib

import pytest

from digitmill import extras
from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine_choice import Machine, alternatives, choose, gpu_devices, this_machine
from schemas.errors import UserError
from schemas.model import bundle as names
from schemas.model.model_card import ModelCard

BARE = Machine(tensorflow=False, gpus=0, devices=0)
CPU = Machine(tensorflow=True, gpus=0, devices=0)
GPU = Machine(tensorflow=True, gpus=2, devices=2)
UNSEEN = Machine(tensorflow=True, gpus=0, devices=1)
UNUSED = Machine(tensorflow=False, gpus=0, devices=1)

ALL = (names.LITERT_MODEL, names.LITERT_INT8_MODEL, "saved_model/saved_model.pb")
LITERT_ONLY, SAVED_MODEL_ONLY = ALL[:2], ALL[2:]


@pytest.fixture
def card(bundle: Bundle) -> ModelCard:
    return bundle.card


def with_files(card: ModelCard, files: tuple[str, ...], *, default: str = names.LITERT_MODEL) -> ModelCard:
    return dataclasses.replace(card, files=dict.fromkeys(files, "0" * 64), litert_model=default)


@pytest.mark.parametrize(
    ("files", "machine", "kind", "reason"),
    [
        (ALL, BARE, "litert", "there is no GPU"),
        (ALL, CPU, "litert", "there is no GPU"),
        (ALL, GPU, "saved_model", "TensorFlow sees 2 GPUs"),
        (ALL, UNSEEN, "litert", "there is a GPU, but TensorFlow does not see it"),
        (ALL, UNUSED, "litert", "there is a GPU, but TensorFlow is not installed"),
        (LITERT_ONLY, GPU, "litert", "the bundle holds no SavedModel"),
        (SAVED_MODEL_ONLY, CPU, "saved_model", "the bundle holds no LiteRT model"),
        (SAVED_MODEL_ONLY, GPU, "saved_model", "TensorFlow sees 2 GPUs"),
    ],
)
def test_auto_goes_by_card_and_machine(
    card: ModelCard, files: tuple, machine: Machine, kind: str, reason: str
) -> None:
    choice = choose("auto", with_files(card, files), machine=machine)
    assert (choice.kind, choice.reason) == (kind, reason)


@pytest.mark.parametrize("machine", [BARE, CPU, UNSEEN])
def test_auto_takes_the_litert_model_that_the_card_names(card: ModelCard, machine: Machine) -> None:
    choice = choose("auto", with_files(card, ALL, default=names.LITERT_INT8_MODEL), machine=machine)
    assert (choice.kind, choice.model) == ("litert_int8", names.LITERT_INT8_MODEL)
    assert choice.library == "ai-edge-litert"
    assert choose("auto", with_files(card, ALL), machine=machine).model == names.LITERT_MODEL


def test_auto_takes_the_other_litert_model_where_that_one_is_missing(card: ModelCard) -> None:
    bundle = with_files(card, (names.LITERT_MODEL,), default=names.LITERT_INT8_MODEL)
    assert choose("auto", bundle, machine=CPU).kind == "litert"


@pytest.mark.parametrize(
    ("asked", "machine"),
    [
        ("litert", GPU),
        ("litert", BARE),
        ("litert_int8", GPU),
        ("openvino", BARE),
        ("openvino_int8", GPU),
        ("saved_model", CPU),
    ],
)
def test_what_is_asked_for_is_taken(card: ModelCard, asked: str, machine: Machine) -> None:
    choice = choose(asked, with_files(card, ALL), machine=machine)
    assert (choice.kind, choice.reason) == (asked, "chosen by --engine")


@pytest.mark.parametrize(
    ("asked", "files", "machine", "complaint"),
    [
        ("litert", SAVED_MODEL_ONLY, GPU, r"--engine litert needs model\.tflite"),
        ("litert_int8", LITERT_ONLY[:1], GPU, r"--engine litert_int8 needs model_int8\.tflite"),
        ("openvino_int8", LITERT_ONLY[:1], GPU, r"--engine openvino_int8 needs model_int8\.tflite"),
        ("saved_model", LITERT_ONLY, GPU, r"--engine saved_model needs saved_model/saved_model\.pb"),
        (
            "saved_model",
            ALL,
            BARE,
            r"TensorFlow is not .* pip install 'digitmill\[train\]', or use --engine",
        ),
        ("auto", SAVED_MODEL_ONLY, BARE, "TensorFlow is not installed, and the bundle has no LiteRT model"),
        ("auto", (), GPU, "which the bundle lacks"),
    ],
)
def test_what_cannot_be_had_is_refused(
    card: ModelCard, asked: str, files: tuple, machine: Machine, complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint) as refused:
        choose(asked, with_files(card, files), machine=machine)
    assert "\n" not in str(refused.value)


def test_openvino_is_refused_where_it_is_not_installed(
    card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda module: False)
    complaint = r"OpenVINO is not installed: '--engine openvino'. Run pip install 'digitmill\[openvino\]'"
    with pytest.raises(UserError, match=complaint):
        choose("openvino", with_files(card, ALL), machine=CPU)
    chosen = choose("auto", with_files(card, ALL), machine=CPU)
    assert (chosen.kind, alternatives(chosen, with_files(card, ALL))) == ("litert", [])


@pytest.mark.parametrize(
    ("default", "files", "others"),
    [
        (names.LITERT_MODEL, ALL, ["openvino"]),
        (names.LITERT_INT8_MODEL, ALL, ["openvino_int8", "litert"]),
        (names.LITERT_INT8_MODEL, (names.LITERT_INT8_MODEL,), ["openvino_int8"]),
    ],
)
def test_only_a_model_that_is_as_right_is_an_alternative(
    card: ModelCard, default: str, files: tuple, others: list[str]
) -> None:
    card = with_files(card, files, default=default)
    assert alternatives(choose("auto", card, machine=CPU), card) == others


@pytest.mark.parametrize(
    ("asked", "library"),
    [("litert_int8", "ai-edge-litert"), ("openvino_int8", "openvino"), ("saved_model", "tensorflow")],
)
def test_each_engine_has_its_library(card: ModelCard, asked: str, library: str) -> None:
    assert choose(asked, with_files(card, ALL), machine=CPU).library == library


def test_the_library_is_the_one_that_runs(card: ModelCard) -> None:
    libraries = {
        machine: choose("auto", with_files(card, ALL), machine=machine).library for machine in (CPU, GPU)
    }
    assert libraries == {CPU: "ai-edge-litert", GPU: "tensorflow"}


@pytest.mark.parametrize(
    ("environ", "devices"),
    [
        ({}, 2),
        ({"CUDA_VISIBLE_DEVICES": "1"}, 2),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 0),
    ],
)
def test_gpus_are_devices_that_are_not_hidden(tmp_path: pathlib.Path, environ: dict, devices: int) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert gpu_devices(tmp_path, environ) == devices


def test_this_machine_has_tensorflow() -> None:
    machine = this_machine()
    assert machine.tensorflow
    assert machine.gpus <= machine.devices
