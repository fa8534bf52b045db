"""Signs manifests and checks their signatures: Ed25519, with keys in PEM files.

A signature covers the manifest's bytes and is a separate file next to it, so that `openssl` can check it too.
"""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Final, NoReturn, Self

from digitmill.storage import OutputFolder, read_place
from digitmill.storage.names import place_as_given
from schemas import manifest
from schemas.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PASSPHRASE = "DIGITMILL_SIGN_PASSPHRASE"
"""Environment variable with the pass phrase of an encrypted private key."""


@dataclasses.dataclass
class _Known:
    """The pass phrase that was taken out of the environment, for the keys that this process loads later."""

    passphrase: str | None = dataclasses.field(default=None, repr=False)


_KNOWN: Final = _Known()


class Signer:
    """A private key, which stays in the launcher's memory."""

    def __init__(self, pem: bytes, passphrase: str | None) -> None:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(pem, None if passphrase is None else passphrase.encode())
        except TypeError:  # the key is encrypted but there is no pass phrase, or the reverse
            if passphrase is None:
                _refuse("the private key is encrypted", f"put its pass phrase into {PASSPHRASE}")
            key = load_pem_private_key(pem, None)
        except (ValueError, UnsupportedAlgorithm):
            hint = f"check the file, and {PASSPHRASE} if it is encrypted"
            _refuse("not a private key in PEM, or another pass phrase", hint)
        if not isinstance(key, Ed25519PrivateKey):
            _refuse("not an Ed25519 key", "make one by `openssl genpkey -algorithm ed25519 -out KEY`")
        self._key = key

    @classmethod
    def load(cls, path: pathlib.Path | None) -> Self | None:
        """Load a key from a file; None without a path.

        Its pass phrase is taken out of the environment, so that child processes do not inherit it, and kept
        for the keys that this process loads later.

        Raises:
            UserError: when the key cannot be used. The message does not name the file.
        """
        if path is None:
            return None
        try:
            pem = path.read_bytes()
        except OSError as error:
            _refuse(f"cannot read the private key ({error.strerror})", "check the path")
        _KNOWN.passphrase = os.environ.pop(PASSPHRASE, _KNOWN.passphrase)
        return cls(pem, _KNOWN.passphrase)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key does not leave its process")

    def write(self, output: OutputFolder, data: bytes) -> None:
        """Write the signature of a manifest that is about to be written."""
        output.replace(manifest.SIGNATURE, self._key.sign(data))

    def check(self, output: OutputFolder) -> None:
        """Raise UserError unless this key signed the finished run in an output."""
        problem = _problem(output, output.read(manifest.FILE), self._key.public_key())
        if problem:
            raise UserError(
                f"cannot sign a finished run, its manifest may have changed since ({problem})",
                value=output.place,
                hint="resume it without --sign, or score into a new output",
            )


def write_manifest(output: OutputFolder, data: bytes, signer: Signer | None) -> None:
    """Write the signature, then the manifest: a run without a manifest is not finished."""
    if signer is not None:
        signer.write(output, data)
    elif output.exists(manifest.SIGNATURE):
        output.delete(manifest.SIGNATURE)  # left by a launcher that was killed before it wrote its manifest
    output.replace(manifest.FILE, data)


def check_signature(output: OutputFolder, data: bytes, key: str | os.PathLike[str]) -> str:
    """Return what is wrong with a manifest's signature; empty if it matches the public key in a file.

    Raises:
        UserError: when the file does not contain a public key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    place = place_as_given(key)
    hint = "write it by `openssl pkey -in PRIVATE -pubout -out PUBLIC`"
    try:
        public = load_pem_public_key(read_place(place))
    except OSError as error:
        raise UserError(
            f"cannot read the public key ({error.strerror})", value=place, hint="check the path"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError("not a public key in PEM", value=place, hint=hint) from error
    if not isinstance(public, Ed25519PublicKey):
        raise UserError("not an Ed25519 key", value=place, hint=hint)
    return _problem(output, data, public)


def _problem(output: OutputFolder, data: bytes, key: "Ed25519PublicKey") -> str:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(output.read(manifest.SIGNATURE), data)
    except FileNotFoundError:
        return "not signed"
    except InvalidSignature:
        return "not the manifest that was signed, or signed with another key"
    return ""


def _refuse(problem: str, hint: str) -> NoReturn:
    # Messages end up in logs, which must not reveal the key's path.
    raise UserError(problem, value="--sign", hint=hint) from None
