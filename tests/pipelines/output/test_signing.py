import os
import pathlib
import pickle
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from digitmill.storage.local_output import LocalFolder
from pipelines.compact import compact_job
from pipelines.compact.compact_options import CompactOptions
from pipelines.output.signing import PASSPHRASE, Signer, check_signature
from pipelines.output.verification import verify
from pipelines.packing import pack_job
from pipelines.packing.pack_options import PackOptions
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from schemas.errors import StoppedError, UserError
from tests.beam_engines import interrupt_scoring


def write_keys(folder: pathlib.Path, name: str, passphrase: bytes | None = None) -> tuple[pathlib.Path, ...]:
    """Return files with a private and a public key."""
    key = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path]:
    private, public = write_keys(tmp_path_factory.mktemp("keys"), "where-nobody-may-look")
    return private, public


@pytest.fixture(scope="module")
def signed(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    keys: tuple[pathlib.Path, pathlib.Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    output = tmp_path_factory.mktemp("signed") / "out"
    options = {"inputs": (str(digit_folder),), "model": bundle_path, "output": str(output), "limit": 60}
    score_job.run(ScoreOptions(**options, sign=keys[0]))
    return output


@pytest.fixture
def output(signed: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(signed, tmp_path / "out")


def findings(output: pathlib.Path, key: pathlib.Path | None) -> list[str]:
    return list(verify(LocalFolder(output), key=key).findings)


def test_a_signed_run_is_verified(output: pathlib.Path, keys: tuple[pathlib.Path, pathlib.Path]) -> None:
    verdict = verify(LocalFolder(output), key=keys[1])
    assert verdict.findings == ()
    assert "all as the manifest says (signed with the key)" in verdict.table()
    assert verdict.files == sum(1 for path in output.rglob("*") if path.is_file())
    assert "signed; check it with --key" in verify(LocalFolder(output)).table()


def test_openssl_verifies_it_too(output: pathlib.Path, keys: tuple[pathlib.Path, pathlib.Path]) -> None:
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys[1], "-rawin"]
    command += ["-in", output / "manifest.json", "-sigfile", output / "manifest.json.sig"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Signature Verified Successfully\n")


def test_other_keys_and_other_manifests_are_found(
    output: pathlib.Path, keys: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    wrong = "manifest.json: not the manifest that was signed, or signed with another key"
    assert findings(output, write_keys(tmp_path, "other")[1]) == [wrong]
    manifest = (output / "manifest.json").read_bytes()
    (output / "manifest.json").write_bytes(manifest + b" ")
    assert findings(output, keys[1]) == [wrong]
    assert findings(output, None) == []
    (output / "manifest.json").write_bytes(manifest)
    (output / "manifest.json.sig").write_bytes(b"short")
    assert findings(output, keys[1]) == [wrong]
    (output / "manifest.json.sig").unlink()
    assert findings(output, keys[1]) == ["manifest.json: not signed"]


def test_nothing_that_a_stranger_s_manifest_names_is_read(
    output: pathlib.Path, keys: tuple[pathlib.Path, pathlib.Path]
) -> None:
    shutil.rmtree(output / "predictions")
    (output / "manifest.json.sig").unlink()
    assert findings(output, keys[1]) == ["manifest.json: not signed"]


def test_the_key_s_path_is_in_no_file_and_in_no_command(
    signed: pathlib.Path, keys: tuple[pathlib.Path, pathlib.Path]
) -> None:
    for path in signed.rglob("*"):
        assert not path.is_file() or b"nobody-may-look" not in path.read_bytes()
    options = ScoreOptions(inputs=("in",), model=pathlib.Path("m"), output="out", sign=keys[0])
    assert options.command(resume=True) == (
        "digitmill score --input in --model m --output out --sign KEY.pem --resume"
    )
    assert "sign" not in options.run_config()


def test_a_key_is_not_pickled(keys: tuple[pathlib.Path, pathlib.Path]) -> None:
    with pytest.raises(TypeError, match="does not leave its process"):
        pickle.dumps(Signer.load(keys[0]))


def test_a_pass_phrase_comes_from_the_environment_and_is_taken_out_of_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, _ = write_keys(tmp_path, "key", b"correct horse")
    with pytest.raises(UserError, match=f"Put its pass phrase into {PASSPHRASE}"):
        Signer.load(private)
    monkeypatch.setenv(PASSPHRASE, "wrong")
    with pytest.raises(UserError, match="or another pass phrase"):
        Signer.load(private)
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    assert Signer.load(private) is not None
    assert PASSPHRASE not in os.environ
    # Later runs of the same process sign, too.
    assert Signer.load(private) is not None
    assert PASSPHRASE not in os.environ
    monkeypatch.setenv(PASSPHRASE, "battery staple")
    assert Signer.load(write_keys(tmp_path, "new", b"battery staple")[0]) is not None
    assert PASSPHRASE not in os.environ
    monkeypatch.setenv(PASSPHRASE, "needless")
    assert Signer.load(write_keys(tmp_path, "plain")[0]) is not None


def test_what_is_no_key_is_refused_without_its_path(
    tmp_path: pathlib.Path, keys: tuple[pathlib.Path, pathlib.Path]
) -> None:
    other = Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "other.pem").write_bytes(other)
    (tmp_path / "no.pem").write_bytes(b"no key")
    for path in (tmp_path / "other.pem", tmp_path / "no.pem", tmp_path / "missing.pem", tmp_path, keys[1]):
        with pytest.raises(UserError) as refusal:
            Signer.load(path)
        assert str(path) not in str(refusal.value)
    for path in (tmp_path / "other.pem", tmp_path / "missing.pem", keys[0]):
        with pytest.raises(UserError, match="key"):
            check_signature(LocalFolder(tmp_path), b"", path)


def test_a_run_that_was_killed_between_signature_and_manifest_is_resumed(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    keys: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"inputs": (str(digit_folder),), "model": bundle_path, "output": str(tmp_path / "out")}
    options |= {"limit": 60}
    real = LocalFolder.replace

    def killed(folder: LocalFolder, name: str, data: bytes) -> None:
        if name == "manifest.json":
            raise KeyboardInterrupt
        real(folder, name, data)

    monkeypatch.setattr(LocalFolder, "replace", killed)
    with pytest.raises(StoppedError, match=r"--sign KEY\.pem --resume"):
        score_job.run(ScoreOptions(**options, sign=keys[0]))
    monkeypatch.undo()
    assert (tmp_path / "out/manifest.json.sig").exists()
    shutil.copytree(tmp_path / "out", tmp_path / "again")
    score_job.run(ScoreOptions(**options, sign=keys[0], resume=True))
    assert findings(tmp_path / "out", keys[1]) == []
    # Without the key, the run ends unsigned, and leaves no signature of another manifest.
    score_job.run(ScoreOptions(**(options | {"output": str(tmp_path / "again")}), resume=True))
    assert findings(tmp_path / "again", keys[1]) == ["manifest.json: not signed"]


def test_a_finished_run_is_not_signed_later(
    output: pathlib.Path,
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    keys: tuple[pathlib.Path, pathlib.Path],
) -> None:
    options = {"inputs": (str(digit_folder),), "model": bundle_path, "output": str(output), "limit": 60}
    again = ScoreOptions(**options, sign=keys[0], resume=True)
    assert score_job.run(again).manifest.counts.scored == 60
    (output / "manifest.json.sig").unlink()
    with pytest.raises(UserError, match="cannot sign a finished run"):
        score_job.run(again)
    assert not (output / "manifest.json.sig").exists()


def test_compact_and_pack_sign(
    signed: pathlib.Path,
    digit_folder: pathlib.Path,
    keys: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
) -> None:
    compact_job.run(CompactOptions(runs=(str(signed),), output=str(tmp_path / "state"), sign=keys[0]))
    assert findings(tmp_path / "state", keys[1]) == []
    packing = {"inputs": (str(digit_folder / "3"),), "output": str(tmp_path / "packed"), "sign": keys[0]}
    pack_job.run(PackOptions(**packing))
    manifest = (tmp_path / "packed/manifest.json").read_bytes()
    assert check_signature(LocalFolder(tmp_path / "packed"), manifest, keys[1]) == ""
    assert check_signature(LocalFolder(tmp_path / "packed"), manifest + b" ", keys[1]) != ""
    pack_job.run(PackOptions(**packing, resume=True))


def test_a_run_is_signed_whatever_was_stopped_before(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    keys: tuple[pathlib.Path, pathlib.Path],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"inputs": (str(digit_folder),), "model": bundle_path, "output": str(tmp_path / "out")}
    interrupt_scoring(monkeypatch)
    with pytest.raises(StoppedError):
        score_job.run(ScoreOptions(**options))
    monkeypatch.undo()
    # --sign changes no row: a run that was begun without it is resumed with it.
    score_job.run(ScoreOptions(**options, sign=keys[0], resume=True))
    assert findings(tmp_path / "out", keys[1]) == []
