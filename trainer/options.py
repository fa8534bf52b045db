"""What a training job is told: one record, checked once; nothing below it reads flags."""

import dataclasses
import pathlib

from schemas.errors import UserError

MAX_SEED = 2**32 - 1
"""Greatest seed that NumPy, Keras and TensorFlow all take."""


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """One training job.

    Attributes:
        recipe: name of the recipe.
        data: `sample`, `tfds:NAME`, `folder:PATH`, `labels:FILE.csv`, `idx:DIR` or `tfrecord:GLOB`; or
            several of them, each as it is or as `SOURCE@WEIGHT`.
        output: the run folder, local; made where it does not exist.
        epochs: passes over the training images; the recipe's own when None.
        batch: global batch size, images; the recipe's own when None.
        seed: fixes weights, order and dropout.
        replicas: devices that share each batch: as many GPUs, or logical CPUs where there is no GPU;
            all GPUs, or one CPU, when None.
        data_dir: where `tfds:` keeps prepared data, local or gs://; its own default when None.
        accept_threshold: default confidence from which a prediction is accepted, in [0, 1].
        class_weights: `none`, or `balanced` for every digit to count alike however rare it is.
        init: bundle whose weights training starts from, local or in gs://; None for random ones.
        max_bad_rate: share of a source's images that may be unusable, in [0, 1].
        cache_dir: where decoded images are kept for the next run; see `trainer.data.reading.Reading`.

    Raises:
        UserError: when a value is out of range.
    """

    recipe: str
    data: str | tuple[str, ...]
    output: pathlib.Path
    epochs: int | None = None
    batch: int | None = None
    seed: int = 0
    replicas: int | None = None
    data_dir: str | None = None
    accept_threshold: float = 0.9
    class_weights: str = "none"
    init: str | None = None
    max_bad_rate: float = 0.01
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "replicas"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} is at least 1", got=value, remedy="give a greater number")
        if not 0 <= self.seed <= MAX_SEED:
            raise UserError(f"--seed is in [0, {MAX_SEED}]", got=self.seed, remedy="give another one")
        if not 0 <= self.accept_threshold <= 1:
            raise UserError(
                "--accept-threshold is a probability in [0, 1]",
                got=self.accept_threshold,
                remedy="0.9 sends predictions that are less certain to review",
            )
        if not 0 <= self.max_bad_rate <= 1:
            raise UserError(
                "--max-bad-rate is a share in [0, 1]",
                got=self.max_bad_rate,
                remedy="0.01 stops the job when more than one image in a hundred is unusable",
            )
