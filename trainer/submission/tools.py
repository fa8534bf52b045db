"""Runs the command-line tools by which clusters take jobs."""

import subprocess

from schemas.errors import UserError


def run_tool(*command: str, given: str) -> str:
    """Runs a tool with text on its standard input and returns what it prints.

    Raises:
        UserError: when there is no such tool, or it refuses.
    """
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(
            f"cannot run {command[0]}, which hands the job over",
            value=str(error),
            hint="Install it here, or take what --dry-run prints to where it is.",
        ) from error
    if done.returncode:
        raise UserError(
            f"{command[0]} refused the job",
            value=f"exit code {done.returncode}",
            hint=f"It says: {done.stderr.strip() or done.stdout.strip()}",
        )
    return done.stdout.strip()
