"""What a training job is told: one record, checked once; nothing below it reads flags."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any, Final

from schemas.errors import UserError

MAX_SEED = 2**32 - 1
"""Greatest seed that NumPy, Keras and TensorFlow all take."""


STRATEGIES: Final = ("auto", "one", "mirrored", "multi_worker", "parameter_server")
"""What `--strategy` takes; the last is refused with the reason."""

SCHEDULES: Final = ("constant", "warmup-cosine", "one-cycle")
PRECISIONS: Final = ("float32", "mixed")


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """One training job.

    Attributes:
        recipe: name of the recipe.
        data: `sample`, `tfds:NAME`, `folder:PATH`, `labels:FILE.csv`, `idx:DIR` or `tfrecord:GLOB`; or
            several of them, each as it is or as `SOURCE@WEIGHT`.
        output: the run folder, local or gs://; made where it does not exist. Where it is empty, the
            folder that the environment's AIP_MODEL_DIR names.
        epochs: passes over the training images; the recipe's own when None, as with all that follow
            up to `teacher_temperature`, which `trainer.recipes.parts.recipe.Recipe` explains.
        batch: global batch size, images.
        schedule: the learning rate's course.
        learning_rate: its greatest value.
        clip_norm: greatest global norm of a step's gradients.
        ema: decay of the weights' moving average, in (0, 1).
        label_smoothing: share of each label spread over all classes, in [0, 1).
        precision: `float32` or `mixed`.
        xla: whether forward and backward pass are compiled.
        patience: epochs without a better validation accuracy after which training stops.
        accumulate: parts in which each replica goes through its share of a batch.
        dropout: share of each hidden layer's features that is dropped in training, in [0, 1).
        batch_norm: whether hidden layers are normalised.
        teacher: bundle whose answers are taught beside the labels, local or in gs://.
        soft_share: what the teacher's answers count in the loss, in [0, 1].
        teacher_temperature: by which answers are softened before they are compared.
        members: networks that are trained with seeds of their own and averaged; one when None.
        member: bundles that are averaged with them, local or in gs://; they count among `members`.
        seed: fixes weights, order, dropout and augmentation.
        strategy: `auto`, `one`, `mirrored` or `multi_worker`.
        replicas: devices that share each batch: as many GPUs, or logical CPUs where there is no GPU;
            all GPUs, or one CPU, when None.
        deterministic: whether GPUs use only operations whose results never vary.
        resume: whether to go on from the newest checkpoint in the run folder, if there is one.
        checkpoint_steps: steps from one checkpoint to the next; one an epoch when None.
        data_dir: where `tfds:` keeps prepared data, local or gs://; its own default when None.
        accept_threshold: default confidence from which a prediction is accepted, in [0, 1]; None for
            the one that the target needs, and without a target
            `trainer.metrics.assessment.DEFAULT_THRESHOLD`.
        target_accuracy: accuracy that accepted validation images reach, in [0, 1]; None for no target.
        class_weights: `none`, or `balanced` for every digit to count alike however rare it is.
        init: bundle whose weights training starts from, local or in gs://; None for random ones.
        max_bad_rate: share of a source's images that may be unusable, in [0, 1].
        cache_dir: where decoded images are kept for the next run; see `trainer.data.reading.Reading`.

    Raises:
        UserError: when a value is out of range.
    """

    recipe: str
    data: str | tuple[str, ...]
    output: str | os.PathLike[str]
    epochs: int | None = None
    batch: int | None = None
    schedule: str | None = None
    learning_rate: float | None = None
    clip_norm: float | None = None
    ema: float | None = None
    label_smoothing: float | None = None
    precision: str | None = None
    xla: bool | None = None
    patience: int | None = None
    accumulate: int | None = None
    dropout: float | None = None
    batch_norm: bool | None = None
    teacher: str | None = None
    soft_share: float | None = None
    teacher_temperature: float | None = None
    members: int | None = None
    member: tuple[str, ...] = ()
    seed: int = 0
    strategy: str = "auto"
    replicas: int | None = None
    deterministic: bool = True
    resume: bool = False
    checkpoint_steps: int | None = None
    data_dir: str | None = None
    accept_threshold: float | None = None
    target_accuracy: float | None = None
    class_weights: str = "none"
    init: str | None = None
    max_bad_rate: float = 0.01
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "replicas", "patience", "accumulate", "checkpoint_steps", "members"):
            self._check(name, "at least 1", lambda value: value >= 1)
        for name in ("learning_rate", "clip_norm", "teacher_temperature"):
            self._check(name, "a number above 0", lambda value: 0 < value < float("inf"))
        self._check("ema", "in (0, 1)", lambda value: 0 < value < 1)
        for name in ("label_smoothing", "dropout"):
            self._check(name, "in [0, 1)", lambda value: 0 <= value < 1)
        self._check("soft_share", "a share in [0, 1]", lambda value: 0 <= value <= 1)
        self._check(
            "members",
            f"at least as many as --member, {len(self.member)}",
            lambda value: value >= len(self.member),
        )
        self._check("seed", f"in [0, {MAX_SEED}]", lambda value: 0 <= value <= MAX_SEED)
        self._check("max_bad_rate", "a share in [0, 1]", lambda value: 0 <= value <= 1)
        self._check("accept_threshold", "a probability in [0, 1]", lambda value: 0 <= value <= 1)
        self._check("target_accuracy", "a share in [0, 1]", lambda value: 0 <= value <= 1)
        for name, known in (("strategy", STRATEGIES), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
            self._check(name, f"one of {', '.join(known)}", known.__contains__)

    @property
    def is_ensemble(self) -> bool:
        """Whether the job makes one network of several."""
        return bool(self.member) or (self.members or 1) > 1

    def _check(self, name: str, rule: str, holds: Callable[[Any], bool]) -> None:
        value = getattr(self, name)
        if value is not None and not holds(value):
            raise UserError(f"--{name.replace('_', '-')} is {rule}", got=value, remedy="give another value")
