"""`digitmill verify`: reads a finished output again and proves that it is what its manifest says."""

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()

from digitmill.commands import OptionGroup, answer, argument, main, option, verb
from digitmill.commands.parameter_types import FILE, FOLDER
from schemas.errors import ExitCode


@verb()
@argument("output", type=FOLDER)
@option(
    "--key",
    type=FILE,
    metavar="PUBLIC.pem",
    help="Refuse a manifest that was not signed with this key's private half, by --sign.",
    group=OptionGroup("Origin"),
)
def verify(output: str, *, key: str | None) -> ExitCode:
    """Read every file that OUTPUT's manifest names, compare digests, recount, and compare row by row.

    A flipped byte, a missing or an extra file, an image with no answer or with two, a row that differs
    between CSV and TFRecord: each is named, and the exit code is 4. With --key, it also
    finds a manifest that was not signed with that key.

    \b
    Examples:
      digitmill verify scores
      digitmill verify scores --key public.pem
    """
    from digitmill.storage import open_folder
    from digitmill.storage.names import check_found

    check_found(output, "run")
    from pipelines.output import verification

    verdict = verification.verify(open_folder(output), key=key)
    answer(verdict.table(), verdict.as_data())
    return ExitCode.UNRECONCILED if verdict.findings else ExitCode.OK


if __name__ == "__main__":
    main(verify)
