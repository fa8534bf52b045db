"""The flags of `digitmill train`."""

import dataclasses
import os
import pathlib
from typing import ClassVar, Final

import click

from digitmill.commands import Effect, OptionGroup, Options, flag
from digitmill.commands.parameter_types import FOLDER, FiniteRange
from schemas.errors import UserError
from trainer import training_flags

STRATEGIES: Final = ("auto", "one", "mirrored", "multi_worker", "parameter_server")
"""What `--strategy` takes; the last is refused with the reason."""

SCHEDULES: Final = ("constant", "warmup-cosine", "one-cycle")
PRECISIONS: Final = ("float32", "mixed")
ALL_REDUCES: Final = ("auto", "nccl", "ring", "hierarchical", "one_device")
"""What `--all-reduce` takes; `trainer.cluster.all_reduce` says which goes with which devices."""

_WHAT: Final = OptionGroup("Recipe and output")
_DATA: Final = OptionGroup("Data")
_STEPS: Final = OptionGroup("Steps; the recipe's own by default")
_NETWORK: Final = OptionGroup("Network, ensemble, teacher")
_TRUST: Final = OptionGroup("Accept threshold")
_DEVICES: Final = OptionGroup("Devices")

_COUNT: Final = click.IntRange(min=1)
_POSITIVE: Final = FiniteRange(min=0, min_open=True)
_SHARE: Final = FiniteRange(0, 1)
_SHARE_BELOW_1: Final = FiniteRange(0, 1, max_open=True)


@dataclasses.dataclass(frozen=True)
class TrainOptions(Options):
    """The options of a training job; each field is a flag, explained by its help.

    Of fields that `trainer.recipes.parts.recipe.Recipe` has too, None leaves the recipe's own value.
    """

    VERB: ClassVar[str] = "train"

    recipe: str = training_flags.recipe("What to train: see `digitmill recipes`.", group=_WHAT)
    data: str | tuple[str, ...] = training_flags.data(
        "sample (5,000 digits that come with the package), tfds:NAME, folder:PATH with one sub-folder "
        "per label, labels:FILE.csv of path,label, idx:DIR of MNIST's four files, or tfrecord:GLOB of what "
        "`digitmill pack` wrote; local or in a bucket. fonts: draws digits of this machine's fonts, "
        "not-digits: draws pictures without a digit. Repeatable, to mix sources.",
        group=_DATA,
    )
    output: str | os.PathLike[str] = flag(
        "The run folder, local or in a bucket; AIP_MODEL_DIR by default.",
        group=_WHAT,
        type=FOLDER,
        metavar="DIR",
        fallback="",
        effect=Effect.RUN,
    )
    epochs: int | None = flag(
        "Passes over the training images; the recipe's own by default.",
        group=_STEPS,
        type=_COUNT,
        metavar="N",
    )
    batch: int | None = flag(
        "Images per step, over all replicas; the recipe's own by default.",
        group=_STEPS,
        type=_COUNT,
        metavar="N",
    )
    global_batch: str | None = flag(
        "auto: each replica takes --batch images; the learning rate grows with them, after a warm-up.",
        group=_STEPS,
        type=click.Choice(["auto"]),
    )
    schedule: str | None = flag("Learning rate schedule.", group=_STEPS, type=click.Choice(SCHEDULES))
    learning_rate: float | None = flag(
        "Greatest learning rate.", group=_STEPS, type=_POSITIVE, metavar="RATE"
    )
    clip_norm: float | None = flag(
        "Clip gradients to this global norm.", group=_STEPS, type=_POSITIVE, metavar="NORM"
    )
    ema: float | None = flag(
        "Keep an exponential moving average of the weights, with this decay.",
        group=_STEPS,
        type=FiniteRange(0, 1, min_open=True, max_open=True),
        metavar="DECAY",
    )
    label_smoothing: float | None = flag(
        "Share of each label that is spread over all digits.",
        group=_STEPS,
        type=_SHARE_BELOW_1,
        metavar="SHARE",
    )
    precision: str | None = flag(
        "mixed: 16 bits where that is faster: bfloat16, or float16 on V100 and T4.",
        group=_DEVICES,
        type=click.Choice(PRECISIONS),
    )
    xla: bool | None = flag("Compile the step, weight update included; slower on CPUs.", group=_DEVICES)
    patience: int | None = flag(
        "Stop after so many epochs without a better validation accuracy.",
        group=_STEPS,
        type=_COUNT,
        metavar="EPOCHS",
    )
    accumulate: int | None = flag(
        "Accumulate gradients over so many parts of each batch.", group=_STEPS, type=_COUNT, metavar="PARTS"
    )
    dropout: float | None = flag(
        "Share of features to drop; dense recipes only.", group=_NETWORK, type=_SHARE_BELOW_1, metavar="SHARE"
    )
    batch_norm: bool | None = flag("Batch-normalize hidden layers; dense recipes only.", group=_NETWORK)
    sync_batch_norm: bool | None = flag(
        "Batch-normalize by the images of all replicas, not by those of each one.", group=_NETWORK
    )
    teacher: str | None = flag(
        "Bundle to learn from, local or in a bucket: its predictions are targets in addition to the labels.",
        group=_NETWORK,
        type=FOLDER,
        metavar="BUNDLE",
    )
    soft_share: float | None = flag(
        "Weight of the teacher's predictions in the loss.", group=_NETWORK, type=_SHARE, metavar="SHARE"
    )
    teacher_temperature: float | None = flag(
        "Temperature that softens both predictions before they are compared.",
        group=_NETWORK,
        type=_POSITIVE,
        metavar="T",
    )
    members: int | None = flag(
        "Train an ensemble of N networks, one after the other.",
        group=_NETWORK,
        type=_COUNT,
        metavar="N",
    )
    member: tuple[str, ...] = flag(
        "Existing bundle to include in the ensemble; it counts toward --members. Repeatable.",
        group=_NETWORK,
        type=FOLDER,
        metavar="BUNDLE",
        default=(),
        effect=Effect.RUN,  # members are recorded one by one
    )
    seed: int = training_flags.seed("Fixes weights, order, dropout and augmentation.", group=_STEPS)
    strategy: str = flag(
        "auto: several workers if TF_CONFIG names several, otherwise all GPUs, or one CPU without GPUs.",
        group=_DEVICES,
        type=click.Choice(STRATEGIES),
        default="auto",
    )
    replicas: int | None = flag(
        "GPUs that share each batch, all of this machine by default; logical CPUs with --allow-cpu.",
        group=_DEVICES,
        type=_COUNT,
        metavar="N",
    )
    require_gpus: int | None = training_flags.require_gpus(group=_DEVICES)
    allow_cpu: bool = training_flags.allow_cpu(group=_DEVICES)
    all_reduce: str = flag(
        "How GPUs sum gradients; auto: NCCL on one machine, TensorFlow's choice among several.",
        group=_DEVICES,
        type=click.Choice(ALL_REDUCES),
        default="auto",
    )
    deterministic: bool = flag("On GPUs, use deterministic operations only.", group=_DEVICES, default=True)
    resume: bool = flag(
        "Resume from the newest checkpoint in DIR, if there is one.",
        group=_WHAT,
        default=False,
        effect=Effect.RUN,
    )
    checkpoint_steps: int | None = flag(
        "Save a checkpoint every so many steps; every epoch by default.",
        group=_STEPS,
        type=_COUNT,
        metavar="STEPS",
        effect=Effect.RUN,
    )
    data_dir: str | None = training_flags.data_dir(group=_DATA)
    accept_threshold: float | None = flag(
        "Lowest confidence at which scoring accepts a prediction without review.  [default: what "
        "--target-accuracy needs, or 0.9]",
        group=_TRUST,
        type=_SHARE,
        metavar="P",
    )
    target_accuracy: float | None = flag(
        "Choose the threshold so that at least this share of accepted images is right, with a probability of "
        "0.95, such as 0.999.",
        group=_TRUST,
        type=_SHARE,
        metavar="SHARE",
    )
    class_weights: str = flag(
        "balanced: all digits have the same weight, even rare ones.",
        group=_DATA,
        type=click.Choice(["none", "balanced"]),
        default="none",
    )
    init: str | None = flag(
        "Start from the weights of this bundle, local or in a bucket; `shipped` is the model that "
        "comes with digitmill.",
        group=_WHAT,
        type=FOLDER,
        metavar="BUNDLE",
    )
    max_bad_rate: float = training_flags.max_bad_rate(
        "Share of a source's images that may be unusable before the job stops.",
        group=_DATA,
        effect=Effect.RUN,
    )
    min_used: float = flag(
        "Share of the training images that an epoch must use when several workers share them.",
        group=_DATA,
        type=_SHARE,
        metavar="SHARE",
        default=0.95,
        effect=Effect.RUN,
    )
    cache_dir: pathlib.Path | None = training_flags.cache_dir(
        "Folder that keeps decoded images for the next run; by default only images that do not "
        "fit into memory are kept.",
        group=_DATA,
    )

    stream: bool = flag(
        "Begin to train while packed shards are decoded; they must be shuffled, and an epoch's length is "
        "estimated.",
        group=_DATA,
        default=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stream:
            self._check_stream()
        if self.members is not None and self.members < len(self.member):
            raise UserError(
                f"--members is less than the {len(self.member)} bundles of --member",
                value=self.members,
                hint="raise it, or leave it out",
            )

    def _check_stream(self) -> None:
        other = "--members" if self.is_ensemble else "--class-weights balanced"
        if self.is_ensemble or self.class_weights == "balanced":
            raise UserError("--stream cannot be combined with", value=other, hint="leave one of them out")
        given = [self.data] if isinstance(self.data, str) else self.data
        if len(given) != 1 or not given[0].startswith("tfrecord:"):
            raise UserError(
                "--stream needs one source of packed shards",
                value=" ".join(given),
                hint="pack it: digitmill pack --shuffle; then --data tfrecord:GLOB. Or leave out --stream",
            )

    @property
    def is_ensemble(self) -> bool:
        """Whether the job makes one network of several."""
        return bool(self.member) or (self.members or 1) > 1
