"""Describes every file of every output and the columns of tables; source of the reference pages.

Tests compare these descriptions with real outputs: a missing or extra file or column fails.
"""

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping
from typing import Final

from schemas import failure, manifest, prediction
from schemas.checks import audit
from schemas.columns import Column
from schemas.digit import CLASSES
from schemas.model.ink_counts import UPPER_BOUNDS


@dataclasses.dataclass(frozen=True)
class OutputFile:
    """One file of an output, or several of one kind.

    Attributes:
        name: name within the output; a pattern with `*` stands for several files.
        meaning: one sentence for users.
        columns: meanings of a CSV's columns by name, in order; empty for other files.
        more: description of further columns whose names vary; empty if there are none.
        always: whether every output has the file; if not, `meaning` says when it exists.
    """

    name: str
    meaning: str
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    more: str = ""
    always: bool = True

    def matches(self, name: str) -> bool:
        """Whether a file name matches."""
        return fnmatch.fnmatchcase(name, self.name)


def _columns(columns: Iterable[Column]) -> dict[str, str]:
    return {column.name: column.description for column in columns}


def _picture(name: str, meaning: str) -> OutputFile:
    return OutputFile(name, f"{meaning}, as a picture.")


_BIN: Final = {"low": "Where the bin begins.", "high": "Where it ends."}
_DIGITS: Final = {str(digit): f"Images predicted as {digit}." for digit in range(CLASSES)}
_JUDGED: Final = {
    "labeled": "Images whose true digit is known.",
    "right": "Those with the right digit.",
}
_COVERAGE: Final = {
    "threshold": "The accept threshold.",
    "accepted": "Images at or above it.",
    "images": "All images.",
    "labeled": "Accepted images whose true digit is known.",
    "right": "Those with the right digit.",
    "expected_wrong": "Expected number of wrong digits among the accepted images, by their confidences.",
}
_RELIABILITY: Final = {
    **_BIN,
    **_JUDGED,
    "mean_confidence": "Mean confidence of the labeled images.",
    "accuracy": "Share of them with the right digit.",
}
_RUN: Final = OutputFile("run.yaml", "The flags, for `--config`: repeats the run into another output.")
_PAGE: Final = OutputFile("report.html", "The report: one self-contained page.")


def _drift(kind: str, first: Mapping[str, str], *, always: bool = True) -> OutputFile:
    columns = {**first, "this run": "Share of the run's images."}
    more = "The same of the training set (`training`) and, under `--since`, of the run before."
    meaning = f"Shares of images by {kind}, beside those of the training set."
    name = f"reports/drift_{kind.replace(' ', '_')}s.csv"
    return OutputFile(name, meaning, columns, more=more, always=always)


SCORED: Final = (
    OutputFile(
        "manifest.json",
        "Counts, options, versions, times, digests of all other files; written last.",
    ),
    _PAGE,
    _RUN,
    OutputFile(manifest.SIGNATURE, "The signature of the manifest, under `--sign`.", always=False),
    OutputFile("run.json", "Inputs and settings, which `--resume` compares."),
    OutputFile(
        "predictions/part-*.csv*",
        "One row per scored image; more columns with `--carry` and `--probabilities`.",
        _columns(prediction.COLUMNS),
    ),
    OutputFile("predictions/part-*.tfrecord*", "The same rows as `tf.train.Example`."),
    OutputFile("predictions/part-*.parquet", "The same rows as Parquet, under `--format`.", always=False),
    OutputFile("listing/*.json*", "The frozen listing of the inputs."),
    OutputFile(
        "statistics/*.json*",
        "Statistics of each work item, which the reports are made from; failures beyond 65,536 of one.",
    ),
    OutputFile(
        "reports/failures*.csv",
        "One row per image without a prediction: `failures.csv`, and `failures-00001.csv` and so on "
        f"beyond {failure.ROWS_OF_A_FILE:,} rows each.",
        _columns(failure.COLUMNS),
    ),
    OutputFile(
        "reports/fields*.csv",
        "One row per field, with `--field`: `fields.csv`, and `fields-00001.csv` and so on "
        f"beyond {prediction.FIELDS_OF_A_FILE:,} rows each.",
        _columns(prediction.FIELD_COLUMNS),
        always=False,
    ),
    OutputFile(
        "reports/summary.csv",
        "Counts of all images, by digit, by folder, and by folder and digit. Of more than 65,536 folders, "
        "those with most to look at, and the sums of the others.",
        {
            "scope": "`all`, `digit`, `folder`, `folder_digit`, `other_folders` or `other_folders_digit`: "
            "what the row counts.",
            "folder": "URI of the folder, in rows of one.",
            "digit": "The predicted digit, in rows of one.",
            "scored": "Images with a prediction.",
            "failed": "Images without a prediction, in rows without a digit.",
            "mean_confidence": "Mean of the scored images' confidences.",
            "accepted": "Images whose confidence reaches the accept threshold.",
            **_JUDGED,
        },
    ),
    OutputFile(
        "reports/digits.csv",
        "Precision, recall and F1 by digit.",
        {
            "digit": "The digit.",
            "predicted": "Images predicted as it.",
            "labeled": "Images that show it, where labels are known.",
            "right": "Those that are predicted as it.",
            "precision": "Share of the labeled images predicted as it that show it.",
            "recall": "Share of the images that show it that are predicted as it.",
            "f1": "Harmonic mean of the two.",
            "mean_confidence": "Mean confidence of the images predicted as it.",
            "accepted": "Accepted images among these.",
        },
    ),
    OutputFile(
        "reports/originals.json",
        "Small pictures of images in the page's galleries that look otherwise than digits, by URI; of PNG "
        "and JPEG files on disk.",
        always=False,
    ),
    OutputFile("reports/confidence.csv", "Images by confidence.", {**_BIN, "images": "Images in it."}),
    _picture("reports/confidence.png", "Images by confidence"),
    OutputFile("reports/coverage.csv", "Coverage and accuracy of each accept threshold.", _COVERAGE),
    _picture("reports/coverage.png", "Coverage and accuracy of each accept threshold"),
    OutputFile(
        "reports/distributions.csv",
        "Distributions of digits, confidences, gray levels and shapes of ink, for the next run's drift.",
        {
            "measure": "`digits`, `confidences`, `gray_levels`, "
            f"{', '.join(f'`{measure}`' for measure in UPPER_BOUNDS)}.",
            **_BIN,
            "count": "Images or pixels in it.",
        },
    ),
    OutputFile(
        "reports/previous_distributions.csv",
        "The same of the previous run; under `--since`.",
        {"measure": "As above.", **_BIN, "count": "Images or pixels in it."},
        always=False,
    ),
    OutputFile("reports/model_card.json", "The model's card.", always=False),
    OutputFile(
        "reports/audit.csv",
        "Accepted images, drawn at random for people to check; with `--audit`.",
        {
            "image": "URI of the image.",
            "generation": "Version of the image that was scored.",
            "digit": "The predicted digit.",
            "confidence": "Its probability.",
        },
        always=False,
    ),
    OutputFile(
        "reports/past_audits.csv",
        "What `digitmill audit` has found in the earlier runs; under `--since`, and of merged runs.",
        {
            "run": "SHA-256 of the run's manifest.",
            "accepted": "Images that it accepted.",
            "sampled": "Those of them that were drawn.",
            "labeled": "Those of these that people have labeled.",
            "wrong": "Of these, those with another digit, or without any.",
            "not_digits": "Of these, those without any.",
            "target": "Accuracy that its model promises of accepted images; empty without a promise.",
            "promise": "The model and the accept threshold that this is about.",
        },
        always=False,
    ),
    _drift("digit", {"digit": "The predicted digit."}),
    _drift("confidence", _BIN),
    _drift("gray level", _BIN, always=False),
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
        "Reliability: confidence by accuracy; where labels are known.",
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
            "labeled": "Those whose true digit is known.",
            "right": "Labeled images that the model has right.",
            "challenger_right": "Labeled images that the challenger has right.",
        },
        always=False,
    ),
    OutputFile(
        "reports/agreement_matrix.csv",
        "The same as a matrix; with `--challenger`.",
        {
            "model's digit": "The model's digit.",
            **{digit: f"Images that the challenger predicts as {digit}." for digit in _DIGITS},
        },
        always=False,
    ),
    OutputFile("reports/agreement_matrix.png", "The same as a picture.", always=False),
    OutputFile("review.html", "The page to label images on; from `digitmill review`.", always=False),
    OutputFile(audit.FILE, "How many accepted images are wrong; from `digitmill audit`.", always=False),
)
"""Files that `digitmill score` and `compact` write."""

PACKED: Final = (
    OutputFile("manifest.json", "Counts, options, versions, and digests of all other files; written last."),
    _RUN,
    OutputFile("packed-*.tfrecord", "Images with their names and labels, for scoring and training."),
    OutputFile(manifest.SIGNATURE, "The signature of the manifest, under `--sign`.", always=False),
    OutputFile("failures.csv", "One row per image that could not be read.", _columns(failure.COLUMNS)),
    OutputFile("statistics/part-*.json", "What each shard holds."),
)
"""Files that `digitmill pack` writes."""

_EPOCHS: Final = {
    "epoch": "Its number.",
    "training": "On training images, while it ran.",
    "validation": "On validation images, after it.",
}

TRAINED: Final = (
    OutputFile(
        "bundle/model_card.json", "Provenance and metrics of the model, and digests of the bundle's files."
    ),
    OutputFile("bundle/model.keras", "The Keras model, to continue training from."),
    OutputFile("bundle/saved_model/*", "For TensorFlow: GPUs, TF Serving, Vertex AI."),
    OutputFile("bundle/model.tflite", "For LiteRT, in float32."),
    OutputFile("bundle/model_int8.tflite", "For LiteRT, in eight bits."),
    OutputFile(
        "bundle/golden.npz", "Digits and their expected predictions, compared before a bundle is used."
    ),
    _PAGE,
    _RUN,
    OutputFile(
        "history.csv",
        "One row per epoch.",
        {
            "epoch": "Its number, from 1.",
            "loss": "Mean cross-entropy of the training images while it ran, nats.",
            "accuracy": "Accuracy on them.",
            "val_loss": "Mean cross-entropy of the validation images after it.",
            "val_accuracy": "Accuracy on them.",
            "seconds": "Time of its training steps.",
            "images_per_second": "Training images over that time.",
        },
    ),
    OutputFile(
        "rejects.csv",
        "One row per image that could not be used; if there are any.",
        {
            "source": "The `--data` that it is of.",
            "image": "Its path, or archive and place.",
            "code": "Why: one of the failure codes.",
            "detail": "What was found.",
        },
        always=False,
    ),
    OutputFile("checkpoints/step-*.npz", "Checkpoints for `--resume`."),
    OutputFile("tensorboard/events*", "Logs for TensorBoard."),
    OutputFile("report/data.json", "Data from which `digitmill report` rebuilds the page."),
    OutputFile("report/accuracy.csv", "Accuracy by epoch.", _EPOCHS),
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
    OutputFile("report/coverage.csv", "Coverage and accuracy of each accept threshold.", _COVERAGE),
    OutputFile("report/reliability.csv", "Reliability: confidence by accuracy.", _RELIABILITY),
    OutputFile(
        "report/reliability_before.csv",
        "The same without the temperature; where there is one.",
        _RELIABILITY,
        always=False,
    ),
    OutputFile(
        "report/predictions.csv",
        "Nine test images, chosen at random.",
        {
            "image": "Its number in the test split, from 0.",
            "true digit": "Its label.",
            "predicted digit": "What the network answers.",
            "confidence": "Its probability.",
        },
    ),
    OutputFile(
        "report/augmentation.csv",
        "What is in the picture of augmented training images; of a recipe that augments.",
        {"digit": "The image's label.", "copies": "Changed copies of it."},
        always=False,
    ),
    OutputFile("report/*.png", "The same as pictures with a title, ready for a slide."),
)
"""Files that `digitmill train` writes."""

TUNED: Final = (
    OutputFile("best.yaml", "The best settings, for `digitmill train --config`."),
    _RUN,
    OutputFile(
        "trials.csv",
        "One row per trial.",
        {
            "number": "From 1.",
            "state": "`complete`, `pruned` or `failed`.",
            "val_accuracy": "Its final validation accuracy.",
            "val_loss": "Its final validation loss, nats.",
            "epochs": "Number of its epochs.",
            "seconds": "Their time.",
        },
        more="The settings that are searched.",
    ),
    OutputFile("trials.png", "The trials as a picture, and accuracy by each setting."),
    OutputFile("study.journal", "The study, which `--resume` continues."),
    OutputFile("study.lock", "Lock under which one process at a time starts a trial or writes results."),
    OutputFile("study.journal.lock", "Lock of the journal, while a process writes to it.", always=False),
    OutputFile("*.process", "Lock of each process, while it trains trials.", always=False),
)
"""Files that `digitmill tune` writes."""
