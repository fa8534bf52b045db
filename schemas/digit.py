"""The canonical digit: `uint8[28, 28]`, 0 = paper, 255 = ink, as in MNIST."""

from typing import Final

SIDE: Final = 28
"""Height and width of a canonical digit, in pixels."""

BOX: Final = 20
"""Length of the ink's longer side, in pixels. The ink's center of mass is the picture's center."""

CLASSES: Final = 10
"""Number of classes; class k is the digit k."""

NOT_A_DIGIT: Final = 10
"""Label of a picture that is not a single digit. Not a class: models learn to predict all digits equally."""
