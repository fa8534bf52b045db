"""The command `digitmill VERB`: loads a job only when its verb is called."""

import importlib
from collections.abc import Sequence
from typing import Final, NamedTuple, NoReturn

import click
import cloup
from click.shell_completion import CompletionItem

from digitmill.commands import entry_point
from digitmill.commands.verb import HELP


class _Verb(NamedTuple):
    """Where a verb is, as `MODULE:NAME`, and what it does, for the list of verbs."""

    place: str
    summary: str


VERBS: Final = {
    "train": _Verb("trainer.task:train", "Train a recipe on labeled digits, into a model bundle."),
    "recipes": _Verb("trainer.task:recipes", "List the recipes."),
    "submit": _Verb("trainer.submit:submit", "Hand a training to Vertex AI, Kubernetes or Slurm."),
    "tune": _Verb("trainer.tune:tune", "Search a recipe's settings by training it often."),
    "score": _Verb(
        "pipelines.score.score_command:score", "Score every image of a folder, and account for each."
    ),
    "review": _Verb(
        "pipelines.review.review_command:review",
        "Make a page on which people label what the model was unsure of.",
    ),
    "audit": _Verb(
        "pipelines.auditing.audit_command:audit",
        "Count how many accepted images are wrong, on a random sample.",
    ),
    "verify": _Verb("pipelines.verify:verify", "Read a finished output again, and recount."),
    "compact": _Verb(
        "pipelines.compact.compact_command:compact", "Merge the runs of many nights into their present state."
    ),
    "export": _Verb("pipelines.export_rows:export", "Write the predictions of a finished run to one file."),
    "report": _Verb("digitmill.verbs.report:report", "Rebuild the report of a finished run."),
    "pack": _Verb("pipelines.pack:pack", "Pack a folder's images into a few large files."),
    "evaluate": _Verb("trainer.evaluate:evaluate", "Measure a model bundle on labeled digits."),
    "calibrate": _Verb(
        "trainer.calibrate:calibrate", "Choose the accept threshold on your own labeled digits."
    ),
    "card": _Verb("digitmill.verbs.card:card", "Print the card of a model bundle."),
    "sample": _Verb("digitmill.verbs.sample:sample", "Write real digits as PNGs, for a first try."),
    "doctor": _Verb("digitmill.verbs.doctor:doctor", "Check this machine, credentials and buckets."),
}


class _LazyGroup(cloup.Group):
    """A group whose verbs are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name].place.partition(":")
        return getattr(importlib.import_module(module), name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Of verbs that were not imported click knows nothing, and would suggest none.
        if not ctx.resilient_parsing and not args[0].startswith("-") and not self.get_command(ctx, args[0]):
            raise click.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx)
        return click.Group.resolve_command(self, ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        verbs = [
            CompletionItem(name, help=verb.summary)
            for name, verb in VERBS.items()
            if name.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


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
