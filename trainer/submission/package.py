"""The package that a cluster installs: a source distribution of this checkout, staged in a bucket."""

import dataclasses
import hashlib
import pathlib
import subprocess
import sys
import tarfile
from typing import Final

from digitmill.storage import before_run, open_folder
from schemas.errors import UserError

CUDA: Final = "cuda.txt"
"""The lock that only GPUs need."""

LOCKS: Final = ("build.txt", "all.txt", CUDA)
"""Locks of `deploy/locks` in the order of their installation; the first has what builds packages."""

_CHECKOUT: Final = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Package:
    """A source distribution.

    Attributes:
        file: the archive.
        locks: files with the versions and hashes of its dependencies, as `LOCKS`.
        digest: SHA-256 of the names and contents of its files.
    """

    file: pathlib.Path
    locks: tuple[pathlib.Path, ...]
    digest: str

    def staged_in(self, staging: str) -> str:
        """Return the package's folder in a staging folder, named by its content."""
        return f"{staging.rstrip('/')}/{self.digest[:16]}"

    def stage(self, staging: str) -> None:
        """Upload package and locks, verified; raise UserError if the bucket can't be written."""
        folder = open_folder(self.staged_in(staging))
        with before_run():
            folder.claim()
            for file in (*self.locks, self.file):
                folder.replace(file.name, file.read_bytes())


def build(folder: pathlib.Path, checkout: pathlib.Path = _CHECKOUT) -> Package:
    """Build the source distribution of a checkout in a folder; raise UserError if it can't be built."""
    if not (checkout / "setup.py").is_file():
        raise UserError(
            "--staging needs a checkout of digitmill, and this is an installed package",
            value=str(checkout),
            hint="run this command from an editable install, or give an --image that holds digitmill",
        )
    import build as builder

    # Isolated only if needed, since an isolated environment is downloaded.
    needs = builder.ProjectBuilder(checkout).build_system_requires
    here = [] if any(any(builder.check_dependency(need)) for need in needs) else ["--no-isolation"]
    command = [sys.executable, "-m", "build", "--sdist", *here, "--outdir", str(folder), str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise UserError(
            "the checkout does not build", value=str(checkout), hint=f"see `python -m build --sdist`: {last}"
        )
    (file,) = folder.glob("*.tar.gz")
    return Package(file, tuple(checkout / "deploy" / "locks" / name for name in LOCKS), _digest_of(file))


def _digest_of(file: pathlib.Path) -> str:
    """Return a digest of names and contents only: archives also contain their time of packing."""
    digest = hashlib.sha256()
    with tarfile.open(file) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            opened = archive.extractfile(member)
            if opened is not None:
                digest.update(hashlib.sha256(member.name.encode() + b"\0" + opened.read()).digest())
    return digest.hexdigest()
