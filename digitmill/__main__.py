"""The command `digitmill`, also as `python -m digitmill`."""

from typing import NoReturn

from digitmill import import_path


def main() -> NoReturn:
    """Run the verb that the process's arguments name, and exit with its `ExitCode`."""
    import_path.check()
    from digitmill import cli

    cli.main()


if __name__ == "__main__":
    main()
