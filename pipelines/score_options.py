"""The flags of `digitmill score`."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

import click

from digitmill.commands import Effect, OptionGroup, Options, beam_flags, bundle_flags, flag
from digitmill.commands.parameter_types import FILE, FOLDER, FiniteRange
from digitmill.storage.read_limits import CONNECTIONS, RETRY_SECONDS, ReadLimits
from pipelines import scoring_flags
from schemas.checks.gates import Gate
from schemas.errors import UserError
from schemas.layout import Compression, Detail, Format, parse_formats
from schemas.prediction import COLUMNS, PROBABILITY_COLUMNS, Pages

_INPUT: Final = OptionGroup("Input")
_MODEL: Final = OptionGroup("Model")
_FIELDS: Final = OptionGroup("Fields of several digits")
_OUTPUT: Final = OptionGroup("Output")
_AGAIN: Final = OptionGroup("Resumed and incremental runs")
FIRST_LOOK: Final = OptionGroup("First look")
_STORES: Final = OptionGroup("Object store limits")
_RUNNER: Final = OptionGroup("Other runners")
_MACHINE: Final = OptionGroup("This machine")


@dataclasses.dataclass(frozen=True)
class ScoreOptions(Options):
    """The options of a scoring run; each field is a flag, explained by its help."""

    VERB: ClassVar[str] = "score"

    inputs: tuple[str, ...] = flag(
        "Images to score, on disk or in gs://, s3:// or az://. Repeatable.",
        "--input",
        group=_INPUT,
        type=FILE,
        metavar="FOLDER|FILE|GLOB",
        fallback=(),
        effect=Effect.RUN,
    )
    model: str = bundle_flags.model(group=_MODEL)
    output: str = flag(
        "Folder for predictions, reports and the manifest, on disk or in a bucket.",
        group=_OUTPUT,
        type=FOLDER,
        metavar="DIR",
        effect=Effect.RUN,
        required=True,
    )
    input_list: str | None = flag(
        "File that lists images, on disk or in a bucket: one path or URI per line, or a CSV with "
        "a column path.",
        group=_INPUT,
        type=FILE,
        metavar="FILE",
    )
    carry: str | None = flag(
        "Columns of the input list to copy into the predictions, such as customer,batch.",
        group=_INPUT,
        metavar="NAME,NAME",
    )
    labels: str | None = flag(
        "True digits: the images' folder names, or a CSV of path,label, on disk or in a bucket.",
        group=_INPUT,
        type=FILE,
        metavar="folder|CSV",
    )
    pages: Pages = flag(
        "Which pages of a file, or frames of an animation, to score: all, each with its own row, "
        "or only the first.",
        group=_INPUT,
        default=Pages.ALL,
    )
    include: tuple[str, ...] = scoring_flags.include(group=_INPUT)
    exclude: tuple[str, ...] = scoring_flags.exclude(group=_INPUT)
    strict_listing: bool = scoring_flags.strict_listing(group=_INPUT)
    accept_threshold: float | None = flag(
        "Lowest confidence at which a prediction is accepted; predictions below it need review.  "
        "[default: the model's]",
        group=_MODEL,
        type=FiniteRange(0, 1),
    )
    engine: str = bundle_flags.engine(group=_MODEL)
    field: str | None = flag(
        "Regular expression for names below the input, with the groups field and position. The "
        "digits of a field become one value in reports/fields.csv.",
        group=_FIELDS,
        metavar="REGEX",
        effect=Effect.REPORT,
    )
    field_check: str | None = flag(
        "Check that the values of fields must pass.",
        group=_FIELDS,
        metavar="luhn|mod97|verhoeff|regex:PATTERN",
        effect=Effect.REPORT,
    )
    audit: int | None = flag(
        "Draw N of the accepted images at random. `review` shows them, and `audit` counts how "
        "many are wrong.",
        group=_MODEL,
        type=click.IntRange(min=1),
        metavar="N",
    )
    challenger: str | None = flag(
        "A second model that scores the same images; its predictions are in columns next to the "
        "first model's.",
        group=_MODEL,
        type=FOLDER,
        metavar="BUNDLE",
    )
    resume: bool = flag(
        "Resume the run in the output, if there is one.", group=_AGAIN, default=False, effect=Effect.RUN
    )
    since: str | None = flag(
        "Score only images that are new or changed since an earlier run, or since all runs in a "
        "folder, with the same model.",
        group=_AGAIN,
        type=FOLDER,
        metavar="OUTPUT|PARENT",
    )
    state: str | None = flag(
        "Folder of states that `compact` has merged. Runs of --since that a state contains are "
        "not read again.",
        group=_AGAIN,
        type=FOLDER,
        metavar="OUTPUT|PARENT",
        effect=Effect.RUN,
    )
    retry_failures: bool = flag(
        "Also score images again that failed in the runs of --since because of their content, not "
        "only because of the storage.",
        group=_AGAIN,
        default=False,
    )
    limit: int | None = flag(
        "Score the first N files only, in the order of their names.",
        group=FIRST_LOOK,
        type=click.IntRange(min=1),
        metavar="N",
    )
    sample: int | None = flag(
        "Score N files at random, the same every time.",
        group=FIRST_LOOK,
        type=click.IntRange(min=1),
        metavar="N",
    )
    probabilities: bool = flag(
        "The predictions have the probability of each digit, too, as probability_0 to probability_9.",
        group=_OUTPUT,
        default=False,
    )
    rows_per_part: int = scoring_flags.rows_per_part(
        "Rows in a prediction file of a long run; the first files hold 2,048.", group=_OUTPUT
    )
    compression: Compression = scoring_flags.compression(group=_OUTPUT)
    format: str | None = scoring_flags.formats(group=_OUTPUT)
    sign: pathlib.Path | None = scoring_flags.sign(group=_OUTPUT)
    report: Detail = flag(
        "How much to report: full; light, without charts as files; none, only tables.",
        group=_OUTPUT,
        default=Detail.FULL,
        effect=Effect.REPORT,
    )
    max_failure_rate: float = flag(
        "Share of images that may fail. With more failures, the run ends with exit code 3.",
        group=_OUTPUT,
        type=FiniteRange(0, 1),
        default=0.05,
        effect=Effect.REPORT,
    )
    fail_on: tuple[str, ...] = flag(
        "Fail the run, with exit code 5, if this is true of a figure in the manifest: "
        "'drift>0.25', 'accepted<0.9', 'accuracy<0.995'. Everything is written first. Repeatable.",
        group=_OUTPUT,
        default=(),
        metavar="FIGURE<NUMBER",
        effect=Effect.REPORT,
    )
    connections: int = flag(
        "Connections that a worker process keeps to buckets.",
        group=_STORES,
        type=click.IntRange(min=1),
        default=CONNECTIONS,
        effect=Effect.RUN,
    )
    retry_deadline: float = flag(
        "Seconds for which reads, and requests to the output, are retried while a bucket fails or is busy."
        " After that the run stops.",
        group=_STORES,
        type=FiniteRange(min=0),
        default=RETRY_SECONDS,
        metavar="SECONDS",
        effect=Effect.RUN,
    )
    max_requests_per_second: float | None = flag(
        "Most requests to buckets per second, for the whole job. If the runner's flags do not state the "
        "number of workers, the limit is for each worker process.  [default: 5,000, doubling every 20 "
        "minutes]",
        group=_STORES,
        type=FiniteRange(min=0, min_open=True),
        effect=Effect.RUN,
    )
    stall_timeout: float | None = scoring_flags.stall_timeout(group=_RUNNER)
    workers: int | None = flag(
        "Worker processes on this machine, each with its own model.  [default: one per core]",
        group=_MACHINE,
        type=click.IntRange(min=1),
        metavar="N",
        effect=Effect.RUN,
    )
    price_per_hour: float | None = flag(
        "Price of all machines for an hour; the report then states the cost of the run.",
        group=_OUTPUT,
        type=FiniteRange(min=0),
        metavar="AMOUNT",
        effect=Effect.REPORT,
    )
    beam_flags: tuple[str, ...] = beam_flags("[INPUT]... [BEAM FLAGS]...")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the options from the values of a command line."""
        return super().of(scoring_flags.with_positional_inputs(given))

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.gates  # raises where one is none
        if self.limit and self.sample:
            raise UserError(
                "--limit and --sample exclude each other",
                value=f"--limit {self.limit} --sample {self.sample}",
                hint="give one of them",
            )
        if self.field_check and not self.field and not self.input_list:
            raise UserError(
                "--field-check needs fields",
                value=self.field_check,
                hint="define fields by --field, or by columns field and position of an --input-list",
            )
        self._check_carried()
        if self.state and self.since is None:
            raise UserError(
                "--state needs --since", value=self.state, hint="name the earlier runs by --since"
            )
        if self.retry_failures and self.since is None:
            raise UserError(
                "--retry-failures needs --since", value="no --since", hint="name the earlier run by --since"
            )

    def _check_carried(self) -> None:
        if self.carried and self.input_list is None:
            raise UserError(
                "--carry needs --input-list",
                value=self.carry,
                hint="give the list that has these columns as --input-list",
            )
        own = {column.name for column in (*COLUMNS, *PROBABILITY_COLUMNS)}
        for name in self.carried:
            if name.lower() in own or [each.lower() for each in self.carried].count(name.lower()) > 1:
                raise UserError(
                    "predictions already have a column of this name from --carry",
                    value=name,
                    hint="rename it in the input list, or leave it out",
                )

    @property
    def carried(self) -> tuple[str, ...]:
        """Names of the input list's columns that are carried into the predictions."""
        return carried_names(self.carry)

    @property
    def extra(self) -> tuple[str, ...]:
        """Names of the optional columns in the run's predictions."""
        return extra_columns({"carry": self.carry, "probabilities": self.probabilities})

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats of the prediction files."""
        return parse_formats(self.format)

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The conditions of `--fail-on`."""
        return tuple(map(Gate.parse, self.fail_on))

    @property
    def limits(self) -> ReadLimits:
        """Limits on a worker process's use of object stores."""
        return ReadLimits(
            connections=self.connections,
            requests_per_second=self.max_requests_per_second,
            retry_seconds=self.retry_deadline,
        )


def extra_columns(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the optional columns in a run's predictions."""
    probabilities = PROBABILITY_COLUMNS if settings.get("probabilities") else ()
    return (*(column.name for column in probabilities), *carried_names(settings.get("carry")))


def carried_names(carry: object) -> tuple[str, ...]:
    """Return the column names in a value of --carry, from a flag or a run's record."""
    return tuple(filter(None, map(str.strip, str(carry or "").split(","))))
