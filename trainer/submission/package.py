"""The package that a cluster installs: this checkout's source distribution, staged in a bucket."""

import dataclasses
import hashlib
import pathlib
import subprocess
import sys
import tarfile
from typing import Final

from schemas.errors import UserError
from trainer.files.buckets import Bucket

CONSTRAINTS: Final = "constraints.txt"
"""The versions that the project's own tests run with; staged beside the package."""

_CHECKOUT: Final = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Package:
    """A source distribution.

    Attributes:
        file: the archive.
        constraints: versions of its dependencies; None where there are none to hold to.
        digest: SHA-256 of names and contents in it, whenever it was packed.
    """

    file: pathlib.Path
    constraints: pathlib.Path | None
    digest: str

    def staged_in(self, staging: str) -> str:
        """Returns the folder of a staging place that it belongs into; what is in it never changes."""
        return f"{staging.rstrip('/')}/{self.digest[:16]}"

    def stage(self, staging: str) -> None:
        """Uploads package and constraints, verified.

        Raises:
            UserError: when the bucket cannot be written.
        """
        bucket = Bucket(self.staged_in(staging))
        for file in filter(None, (self.constraints, self.file)):
            bucket.upload(file, file.name)


def build(folder: pathlib.Path, checkout: pathlib.Path = _CHECKOUT) -> Package:
    """Builds the source distribution of a checkout by its setup.py.

    Args:
        folder: where it is put.
        checkout: holds setup.py; by default what this code was loaded from.

    Raises:
        UserError: when that is no checkout, or it does not build.
    """
    if not (checkout / "setup.py").is_file():
        raise UserError(
            "--staging needs a checkout of digitmill, and this is an installed package",
            value=str(checkout),
            hint="Run this command from an editable install, or give an --image that holds digitmill.",
        )
    import build as builder

    # In an environment of its own only where it must: that one is downloaded.
    needs = builder.ProjectBuilder(checkout).build_system_requires
    here = [] if any(any(builder.check_dependency(need)) for need in needs) else ["--no-isolation"]
    command = [sys.executable, "-m", "build", "--sdist", *here, "--outdir", str(folder), str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise UserError(
            "the checkout does not build", value=str(checkout), hint=f"See `python -m build --sdist`: {last}"
        )
    (file,) = folder.glob("*.tar.gz")
    constraints = checkout / CONSTRAINTS
    return Package(file, constraints if constraints.is_file() else None, _digest_of(file))


def _digest_of(file: pathlib.Path) -> str:
    """Two builds of the same files are equal, though each archive holds the time of its packing."""
    digest = hashlib.sha256()
    with tarfile.open(file) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            opened = archive.extractfile(member)
            if opened is not None:
                digest.update(hashlib.sha256(member.name.encode() + b"\0" + opened.read()).digest())
    return digest.hexdigest()
