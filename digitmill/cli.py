"""The command `digitmill VERB`: loads a job only when its verb is called."""

import importlib
from collections.abc import Sequence
from typing import NoReturn

import click
import cloup

from digitmill.commands import entry_point
from digitmill.commands.verb import HELP

_VERBS = {
    "train": "trainer.task:train",
    "recipes": "trainer.task:recipes",
    "submit": "trainer.submit:submit",
    "tune": "trainer.tune:tune",
    "score": "pipelines.score.score_command:score",
    "review": "pipelines.review.review_command:review",
    "audit": "pipelines.auditing.audit_command:audit",
    "verify": "pipelines.verify:verify",
    "compact": "pipelines.compact.compact_command:compact",
    "export": "pipelines.export_rows:export",
    "report": "digitmill.verbs.report:report",
    "pack": "pipelines.pack:pack",
    "evaluate": "trainer.evaluate:evaluate",
    "calibrate": "trainer.calibrate:calibrate",
    "card": "digitmill.verbs.card:card",
    "sample": "digitmill.verbs.sample:sample",
    "doctor": "digitmill.verbs.doctor:doctor",
}


class _LazyGroup(cloup.Group):
    """A group whose verbs are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module, _, name = _VERBS[cmd_name].partition(":")
        return getattr(importlib.import_module(module), name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Of verbs that were not imported click knows nothing, and would suggest none.
        if not ctx.resilient_parsing and not args[0].startswith("-") and not self.get_command(ctx, args[0]):
            raise click.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx)
        return click.Group.resolve_command(self, ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Group.format_commands(self, ctx, formatter)


@click.group(
    cls=_LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "formatter_settings": HELP,
    },
)
@click.version_option(package_name="digitmill")
def digitmill() -> None:
    """Train a digit classifier on your GPUs, and score millions of digit images with it.

    A first try, on digits that come with the package:

    \b
      digitmill sample digits
      digitmill train --recipe cnn --data sample --output run
      digitmill score --input digits --labels folder --model run/bundle --output scores

    Without --model, score and evaluate take the model that comes with digitmill.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit with its `ExitCode`.

    Args:
        arguments: the verb and its flags; None for the process's own arguments.
    """
    entry_point.main(digitmill, arguments)
