import dataclasses

import cv2
import numpy as np

from trainer import recipes
from trainer.data.splits import Digits
from trainer.recipes.parts.augmentation import Augmentation
from trainer.report.augmentation_preview import COPIES, augmented_images, draw_augmented
from trainer.report.record import RunRecord


def test_each_digit_has_changed_copies_of_one_image(few_digits: Digits) -> None:
    found = list(augmented_images(few_digits.train, Augmentation(rotation=15, shift=3), seed=3))
    assert [image.label for image in found] == list(range(10))
    for image in found:
        assert len({image.png, *image.copies}) == 1 + COPIES, "each differs"
    again = list(augmented_images(few_digits.train, Augmentation(rotation=15, shift=3), seed=3))
    assert again == found


def test_without_augmentation_there_are_none(few_digits: Digits) -> None:
    assert list(augmented_images(few_digits.train, None, seed=3)) == []
    assert recipes.load("dense-128").augmentation is None


def test_they_are_drawn_and_recorded(few_digits: Digits, run_record: RunRecord) -> None:
    found = tuple(augmented_images(few_digits.train, Augmentation(rotation=15), seed=3))
    chart = draw_augmented(found)
    pixels = cv2.imdecode(np.frombuffer(chart.png, np.uint8), 1)
    assert min(pixels.shape[:2]) > 800
    assert len(chart.rows) == 10
    record = dataclasses.replace(run_record, augmented=found)
    assert RunRecord.from_json(record.to_json()) == record
