"""`digitmill verify`: reads a finished output again and proves that it is what its manifest says."""

import sys

from commands import answer, argument, verb
from commands.values import FOLDER
from schemas.errors import ExitCode


@verb(short_help="Read a finished output again, and recount.")
@argument("output", type=FOLDER)
def verify(output: str) -> ExitCode:
    """Read every file that OUTPUT's manifest names, compare digests, and recount.

    A flipped byte, a missing or an extra file, an image with no answer or with two: each is named, and
    the exit code is 4.

    \b
    Example:
      digitmill verify scores
    """
    from pipelines import verification
    from pipelines.storage import open_folder

    verdict = verification.verify(open_folder(output))
    answer(verdict.table(), verdict.as_data())
    return ExitCode.UNRECONCILED if verdict.findings else ExitCode.OK


if __name__ == "__main__":
    # The face reads the arguments and words the errors, whichever name the job is called by.
    from digitmill.cli import main

    main(["verify", *sys.argv[1:]])
