"""The canonical digit: `uint8[28, 28]`, 0 = paper, 255 = ink, as MNIST is."""

from typing import Final

SIDE: Final = 28
"""Height and width of a canonical digit, in pixels."""

BOX: Final = 20
"""The ink's longer side fits this many pixels; its center of mass is the picture's center."""

CLASSES: Final = 10
"""Number of classes; class k is the digit k."""

NOT_A_DIGIT: Final = 10
"""Label of a picture that is no single digit. It is no class: a model's answer to it is uniform."""
