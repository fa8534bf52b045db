"""`digitmill verify`: reads a finished output again and proves that it is what its manifest says."""

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()

from digitmill.commands import answer, argument, main, verb
from digitmill.commands.parameter_types import FOLDER
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
    from digitmill.storage import open_folder
    from pipelines.output import verification

    verdict = verification.verify(open_folder(output))
    answer(verdict.table(), verdict.as_data())
    return ExitCode.UNRECONCILED if verdict.findings else ExitCode.OK


if __name__ == "__main__":
    main(verify)
