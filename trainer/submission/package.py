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

CONSTRAINTS: Final = "constraints.txt"
"""Versions of dependencies that the project is tested with; staged with the package."""

_CHECKOUT: Final = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Package:
    """A source distribution.

    Attributes:
        file: the archive.
        constraints: file with the versions of its dependencies; None if the checkout has none.
        digest: SHA-256 of the names and contents of its files.
    """

    file: pathlib.Path
    constraints: pathlib.Path | None
    digest: str

    def staged_in(self, staging: str) -> str:
        """Return its folder in a staging folder, named by its content."""
        return f"{staging.rstrip('/')}/{self.digest[:16]}"

    def stage(self, staging: str) -> None:
        """Upload package and constraints, verified; raise UserError if the bucket can't be written."""
        folder = open_folder(self.staged_in(staging))
        with before_run():
            folder.claim()
            for file in filter(None, (self.constraints, self.file)):
                folder.replace(file.name, file.read_bytes())


def build(folder: pathlib.Path, checkout: pathlib.Path = _CHECKOUT) -> Package:
    """Build the source distribution of a checkout in a folder; raise UserError if it can't be built."""
    if not (checkout / "setup.py").is_file():
        raise UserError(
            "--staging needs a checkout of digitmill, and this is an installed package",
            value=str(checkout),
            hint="Run this command from an editable install, or give an --image that holds digitmill.",
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
            "the checkout does not build", value=str(checkout), hint=f"See `python -m build --sdist`: {last}"
        )
    (file,) = folder.glob("*.tar.gz")
    constraints = checkout / CONSTRAINTS
    return Package(file, constraints if constraints.is_file() else None, _digest_of(file))


def _digest_of(file: pathlib.Path) -> str:
    """Return a digest of names and contents only: archives also contain their time of packing."""
    digest = hashlib.sha256()
    with tarfile.open(file) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            opened = archive.extractfile(member)
            if opened is not None:
                digest.update(hashlib.sha256(member.name.encode() + b"\0" + opened.read()).digest())
    return digest.hexdigest()
