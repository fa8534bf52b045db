import pathlib

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from digitmill import cli
from digitmill.default_model import SHIPPED_MODEL
from digitmill.verbs.sample import write_sample
from schemas import outputs
from schemas.errors import ExitCode
from tests.output_files import check_files
from trainer.data import rejects


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    assert ended.value.code == ExitCode.OK


def private_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("scans") / "scans"
    write_sample(folder, "test", number=40)
    # One looks otherwise than its digit: small on a sheet.
    last = max(folder.rglob("*.png"))
    sheet = np.full((120, 200), 230, np.uint8)
    sheet[10:38, 10:38] = 255 - cv2.imread(str(last), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(last), sheet)
    return folder


def audit(output: pathlib.Path) -> None:
    _, drawn, *_ = (output / "reports/audit.csv").read_text().splitlines()
    labels = output.parent / "labels.csv"
    labels.write_text(f"path,label\n{drawn.split(',')[0]},{drawn.split(',')[2]}\n")
    run("audit", output, labels)


def test_every_file_that_scoring_writes_is_described(
    scans: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = ("--labels", "folder", "--model", bundle_path, "--challenger", SHIPPED_MODEL)
    flags += ("--field", r"(?P<field>.+)/\D*(?P<position>\d+)\.png", "--audit", 5)
    run("score", "--input", scans, "--output", tmp_path / "nights/1", *flags, "--limit", 20)
    audit(tmp_path / "nights/1")
    (tmp_path / "key.pem").write_bytes(private_key())
    flags += (
        "--since",
        tmp_path / "nights",
        "--sign",
        tmp_path / "key.pem",
        "--format",
        "csv,tfrecord,parquet",
    )
    run("score", "--input", scans, "--output", tmp_path / "nights/2", *flags)
    run("review", tmp_path / "nights/2")
    audit(tmp_path / "nights/2")
    check_files(tmp_path / "nights/2", outputs.SCORED, exhaustive=True)


def test_files_that_are_always_there_are_in_unlabeled_and_merged_outputs(
    scans: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run("score", "--input", scans, "--output", tmp_path / "scores")
    run("compact", tmp_path / "scores", "--output", tmp_path / "state")
    check_files(tmp_path / "scores", outputs.SCORED)
    check_files(tmp_path / "state", outputs.SCORED)


def test_every_file_of_a_pack_is_described(scans: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run("pack", "--input", scans, "--output", tmp_path / "packed")
    check_files(tmp_path / "packed", outputs.PACKED)


def test_every_file_of_a_training_is_described(bundle_path: pathlib.Path) -> None:
    check_files(bundle_path.parent, outputs.TRAINED)
    (line,) = [line for line in outputs.TRAINED if line.name == rejects.FILE]
    assert tuple(line.columns) == rejects.COLUMNS
