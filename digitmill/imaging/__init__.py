"""From file bytes to the one canonical digit; the same code for training and for scoring."""

import os

from digitmill.imaging.limits import MAX_PIXELS

# A second fence behind the headers' own sizes. OpenCV reads it once, when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
