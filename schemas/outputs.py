"""Describes every file of every output, and the columns of tables; the reference pages are made from it.

Tests compare it with real outputs: a missing or a superfluous file or column fails.
"""

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping
from typing import Final

from schemas import failure, prediction
from schemas.columns import Column
from schemas.digit import CLASSES


@dataclasses.dataclass(frozen=True)
class OutputFile:
    """One file of an output, or several of one kind.

    Attributes:
        name: within the output; a pattern with `*` stands for several.
        meaning: one sentence for people.
        columns: of a CSV, meanings by name, in order; empty for other files.
        more: what further columns are, whose names are not known before; empty where there are none.
        always: whether every output has it; else the meaning says when.
    """

    name: str
    meaning: str
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    more: str = ""
    always: bool = True

    def matches(self, name: str) -> bool:
        """Whether a file of this name is one."""
        return fnmatch.fnmatchcase(name, self.name)


def _columns(columns: Iterable[Column]) -> dict[str, str]:
    return {column.name: column.description for column in columns}


def _picture(name: str, meaning: str) -> OutputFile:
    return OutputFile(name, f"{meaning}, as a picture.")


_BIN: Final = {"low": "Where the bin begins.", "high": "Where it ends."}
_DIGITS: Final = {str(digit): f"Images taken for {digit}." for digit in range(CLASSES)}
_JUDGED: Final = {
    "labelled": "Images whose true digit is known.",
    "right": "Of these, answered right.",
}
_COVERAGE: Final = {
    "threshold": "The accept threshold.",
    "accepted": "Images that it would accept.",
    "images": "All images.",
    "labelled": "Of the accepted ones, those whose true digit is known.",
    "right": "Of these, answered right.",
    "expected_wrong": "Wrong answers among the accepted, as the confidences themselves promise.",
}
_RELIABILITY: Final = {
    **_BIN,
    **_JUDGED,
    "mean_confidence": "Mean confidence of the labelled images.",
    "accuracy": "Share of them that is right.",
}
_RUN: Final = OutputFile("run.yaml", "The flags, for `--config`: repeats the run into another output.")
_PAGE: Final = OutputFile("report.html", "The report: one page that asks for nothing.")


def _drift(kind: str, first: Mapping[str, str], *, always: bool = True) -> OutputFile:
    columns = {**first, "this run": "Share of the run's images."}
    more = "The same of the training set (`training`) and, under `--since`, of the run before."
    meaning = f"Shares of images by {kind}, beside those of the training set."
    name = f"reports/drift_{kind.replace(' ', '_')}s.csv"
    return OutputFile(name, meaning, columns, more=more, always=always)


SCORED: Final = (
    OutputFile(
        "manifest.json",
        "Counts, options, versions, times, digests of all other files; written last: no manifest, no run.",
    ),
    _PAGE,
    _RUN,
    OutputFile("run.json", "What was asked for, by which `--resume` knows that it is the same run."),
    OutputFile("predictions/part-*.csv*", "A row an image that was scored.", _columns(prediction.COLUMNS)),
    OutputFile("predictions/part-*.tfrecord*", "The same rows as `tf.train.Example`."),
    OutputFile("listing/*.json*", "What was listed, frozen."),
    OutputFile("statistics/part-*.json", "What each work item counted; the reports are made from it."),
    OutputFile("reports/failures.csv", "A row an image without a prediction.", _columns(failure.COLUMNS)),
    OutputFile(
        "reports/summary.csv",
        "Counts of all images, by digit, by folder, and by folder and digit.",
        {
            "scope": "`all`, `digit`, `folder` or `folder_digit`: what the row counts.",
            "folder": "URI of the folder, in rows of one.",
            "digit": "The predicted digit, in rows of one.",
            "scored": "Images with a prediction.",
            "failed": "Images without one, in rows that name no digit.",
            "mean_confidence": "Mean of the scored images' confidences.",
            "accepted": "Images whose confidence reaches the accept threshold.",
            **_JUDGED,
        },
    ),
    OutputFile(
        "reports/digits.csv",
        "How right the answers are, by digit.",
        {
            "digit": "The digit.",
            "predicted": "Images taken for it.",
            "labelled": "Images that show it, where labels are known.",
            "right": "Of these, those that are taken for it.",
            "precision": "Share of the labelled images taken for it that show it.",
            "recall": "Share of the images that show it that are taken for it.",
            "f1": "Harmonic mean of the two.",
            "mean_confidence": "Mean confidence of the images taken for it.",
            "accepted": "Of these, the accepted ones.",
        },
    ),
    OutputFile("reports/confidence.csv", "Images by confidence.", {**_BIN, "images": "Images in it."}),
    _picture("reports/confidence.png", "Images by confidence"),
    OutputFile("reports/coverage.csv", "What each accept threshold would mean.", _COVERAGE),
    _picture("reports/coverage.png", "What each accept threshold would mean"),
    OutputFile(
        "reports/distributions.csv",
        "How digits, confidences and ink are spread: what the next run is held against.",
        {"measure": "`digits`, `confidences` or `grey_levels`.", **_BIN, "count": "Images or pixels in it."},
    ),
    OutputFile(
        "reports/previous_distributions.csv",
        "The same of the run before; under `--since`.",
        {"measure": "As above.", **_BIN, "count": "Images or pixels in it."},
        always=False,
    ),
    OutputFile("reports/model_card.json", "The model's card.", always=False),
    _drift("digit", {"digit": "The predicted digit."}),
    _drift("confidence", _BIN),
    _drift("grey level", _BIN, always=False),
    OutputFile("reports/drift_*.png", "The same as pictures."),
    OutputFile(
        "reports/confusion.csv",
        "True by predicted digit; where labels are known.",
        {"label": "The true digit.", **_DIGITS},
        always=False,
    ),
    OutputFile("reports/confusion.png", "The same as a picture.", always=False),
    OutputFile(
        "reports/reliability.csv",
        "Whether confidences are true; where labels are known.",
        _RELIABILITY,
        always=False,
    ),
    OutputFile("reports/reliability.png", "The same as a picture.", always=False),
    OutputFile(
        "reports/agreement.csv",
        "Images by the model's and the challenger's digit; with `--challenger`.",
        {
            "digit": "The model's digit.",
            "challenger_digit": "The challenger's.",
            "images": "Images with these two.",
            "labelled": "Of these, those whose true digit is known.",
            "right": "Of these, those that the model has right.",
            "challenger_right": "Those that the challenger has right.",
        },
        always=False,
    ),
    OutputFile(
        "reports/agreement_matrix.csv",
        "The same as a matrix; with `--challenger`.",
        {
            "model's digit": "The model's digit.",
            **{digit: f"Images that the challenger takes for {digit}." for digit in _DIGITS},
        },
        always=False,
    ),
    OutputFile("reports/agreement_matrix.png", "The same as a picture.", always=False),
    OutputFile("review.html", "The page on which people label; from `digitmill review`.", always=False),
)
"""Of `digitmill score` and `compact`."""

PACKED: Final = (
    OutputFile("manifest.json", "Counts, options, versions, and digests of all other files; written last."),
    _RUN,
    OutputFile("packed-*.tfrecord", "Images with their names and labels; what to score and to train on."),
    OutputFile("failures.csv", "A row an image that could not be read.", _columns(failure.COLUMNS)),
    OutputFile("statistics/part-*.json", "What each shard holds."),
)
"""Of `digitmill pack`."""

_EPOCHS: Final = {
    "epoch": "Its number.",
    "training": "On training images, while it ran.",
    "validation": "On validation images, after it.",
}

TRAINED: Final = (
    OutputFile(
        "bundle/model_card.json", "What the model is and is worth, and digests of the bundle's files."
    ),
    OutputFile("bundle/model.keras", "The network, to go on training from."),
    OutputFile("bundle/saved_model/*", "For TensorFlow: GPUs, TF Serving, Vertex AI."),
    OutputFile("bundle/model.tflite", "For LiteRT, in float32."),
    OutputFile("bundle/model_int8.tflite", "For LiteRT, in eight bits."),
    OutputFile("bundle/golden.npz", "Digits and the answers to them, compared before a bundle is used."),
    _PAGE,
    _RUN,
    OutputFile(
        "history.csv",
        "A row an epoch.",
        {
            "epoch": "Its number, from 1.",
            "loss": "Mean cross-entropy of the training images while it ran, nats.",
            "accuracy": "Share of them answered right.",
            "val_loss": "Mean cross-entropy of the validation images after it.",
            "val_accuracy": "Share of them answered right.",
            "seconds": "Time of its training steps.",
            "images_per_second": "Training images over that time.",
        },
    ),
    OutputFile(
        "rejects.csv",
        "A row an image that could not be used; where there are any.",
        {
            "source": "The `--data` that it is of.",
            "image": "Its path, or archive and place.",
            "code": "Why: one of the failure codes.",
            "detail": "What was found.",
        },
        always=False,
    ),
    OutputFile("checkpoints/step-*.npz", "What `--resume` goes on from."),
    OutputFile("tensorboard/events*", "What TensorBoard shows."),
    OutputFile("report/data.json", "Of which `digitmill report` makes the page again."),
    OutputFile("report/accuracy.csv", "Share answered right, by epoch.", _EPOCHS),
    OutputFile("report/loss.csv", "Mean cross-entropy, by epoch.", _EPOCHS),
    OutputFile(
        "report/learning_rate.csv",
        "The learning rate, by step.",
        {"step": "Its number.", "learning rate": "The rate that it was taken with."},
    ),
    OutputFile(
        "report/class_distribution.csv",
        "Images by digit and split.",
        {
            "digit": "The true digit.",
            "train": "Training images.",
            "validation": "Validation images.",
            "test": "Test images.",
        },
    ),
    OutputFile("report/confusion.csv", "Test images.", {"true digit": "The true digit.", **_DIGITS}),
    OutputFile("report/coverage.csv", "What each accept threshold would mean.", _COVERAGE),
    OutputFile("report/reliability.csv", "Whether confidences are true.", _RELIABILITY),
    OutputFile(
        "report/reliability_before.csv",
        "The same without the temperature; where there is one.",
        _RELIABILITY,
        always=False,
    ),
    OutputFile("report/*.png", "The same as pictures."),
)
"""Of `digitmill train`."""

TUNED: Final = (
    OutputFile("best.yaml", "The best settings, for `digitmill train --config`."),
    _RUN,
    OutputFile(
        "trials.csv",
        "A row a trial.",
        {
            "number": "From 0.",
            "state": "`complete`, `pruned` or `failed`.",
            "val_accuracy": "What it ended with, on validation images.",
            "val_loss": "Likewise, nats.",
            "epochs": "That it trained.",
            "seconds": "That they took.",
        },
        more="The settings that are searched.",
    ),
    OutputFile("trials.png", "The trials as a picture, and accuracy by each setting."),
    OutputFile("study.journal", "The study, which `--resume` goes on with."),
    OutputFile("study.lock", "By which one process at a time holds it."),
)
"""Of `digitmill tune`."""
