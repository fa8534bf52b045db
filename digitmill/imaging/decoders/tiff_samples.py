"""Turns a TIFF page's samples into gray levels or colors: depth, polarity, palette, opacity, inks."""

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from schemas.failure import FailureCode, ImageError

if TYPE_CHECKING:
    import tifffile

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _, _CMYK, _YCBCR = range(7)
_FAX: Final = (2, 3, 4)
_ASSOCIATED, _UNASSOCIATED = 1, 2
_INK_SET: Final = 332
_CMYK_INKS: Final = 1

_BLOCK_ROWS: Final = 256
"""Wide samples are scaled by as many rows at once, so that no second copy of them is needed."""


def to_pixels(samples: np.ndarray, page: "tifffile.TiffPage") -> np.ndarray:
    """Return a page's samples as pixels, without rotation; see `Pages.pixels`.

    Samples of up to 16 bits are scaled by the maximum of their depth. Signed or wider integers and floats are
    scaled by a range that covers the page: floats from 0 to 1, integers from 0 to the next power of two, and
    pages with negative samples from minimum to maximum. Only in the last case can the grain of a blank page
    become contrast.

    Args:
        samples: [height, width], [height, width, samples] or, planar, [samples, height, width].
        page: the page's directory.

    Raises:
        ImageError: UNSUPPORTED, or CORRUPT if the samples do not fit the directory.
    """
    channels = _channels(samples, page)
    photometric = _photometric(page, len(channels))
    if photometric == _PALETTE:
        return _colored(channels[0], page)
    if page.dtype.kind in "fi" or page.dtype.itemsize > 2:
        colors = 1 if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) else len(channels)
        channels = scale_wide(channels[:colors])
    else:
        channels = [_full_depth(channel, page.bitspersample) for channel in channels]
    if photometric == _CMYK:
        return _from_inks(channels, page)
    colors = 3 if photometric in (_RGB, _YCBCR) else 1
    if len(channels) < colors:
        raise ImageError(
            FailureCode.CORRUPT, f"a TIFF of {len(channels)} samples per pixel instead of {colors}"
        )
    shades, opacity = channels[:colors], _opacity(channels, colors, page)
    if opacity is not None and page.extrasamples[:1] == (_ASSOCIATED,):
        shades = [_unmultiplied(shade, opacity) for shade in shades]
    if photometric == _WHITE_IS_ZERO:
        shades = [~shade for shade in shades]
    if colors == 1 and opacity is None:
        return np.ascontiguousarray(shades[0])
    blue_green_red = list(reversed(shades)) if colors == 3 else shades * 3
    return cv2.merge(
        [np.ascontiguousarray(shade) for shade in blue_green_red]
        + ([] if opacity is None else [np.ascontiguousarray(opacity)])
    )


def _channels(samples: np.ndarray, page: "tifffile.TiffPage") -> list[np.ndarray]:
    if samples.size != page.size or samples.ndim not in (2, 3):
        raise ImageError(
            FailureCode.CORRUPT, f"a TIFF page of {samples.size:,} samples instead of {page.size:,}"
        )
    if samples.dtype == np.bool_:
        samples = samples.view(np.uint8)
    if samples.ndim == 2:
        return [samples]
    if page.planarconfig == 2:
        return list(samples)
    return [samples[..., number] for number in range(samples.shape[2])]


def _photometric(page: "tifffile.TiffPage", samples: int) -> int:
    """Return how samples become colors; where the file does not say, what libtiff assumes."""
    if page.photometric is not None:
        return int(page.photometric)
    if page.compression in _FAX:
        return _WHITE_IS_ZERO
    return _RGB if samples >= 3 else _BLACK_IS_ZERO


def _full_depth(channel: np.ndarray, bits: int) -> np.ndarray:
    """Return samples of 1 to 16 bits scaled to 8 or 16."""
    if bits in (8, 16):
        return channel
    most = 2**bits - 1
    full, dtype = (255, np.uint8) if bits < 8 else (65535, np.uint16)
    table = ((np.arange(most + 1) * full * 2 + most) // (2 * most)).astype(dtype)
    return table[channel]


def scale_wide(channels: list[np.ndarray]) -> list[np.ndarray]:
    """Scale floats and signed or wider integers to 16 bits; see `to_pixels`."""
    low = float(min(channel.min() for channel in channels))
    high = float(max(channel.max() for channel in channels))
    if not np.isfinite(low) or not np.isfinite(high):
        raise ImageError(
            FailureCode.UNSUPPORTED,
            "TIFF with samples that are infinite or not a number, not supported: save it as 8 or 16 bits",
        )
    if low >= 0:
        low = 0.0
        integer = channels[0].dtype.kind != "f"
        high = 1.0 if high <= 1 and not integer else float(2.0 ** max(8, np.ceil(np.log2(high + 1))) - 1)
    scale = 65535 / (high - low) if high > low else 0.0
    scaled = []
    for channel in channels:
        levels = np.empty(channel.shape, np.uint16)
        for row in range(0, len(channel), _BLOCK_ROWS):
            block = slice(row, row + _BLOCK_ROWS)
            levels[block] = np.rint((channel[block].astype(np.float64) - low) * scale).clip(0, 65535)
        scaled.append(levels)
    return scaled


def _colored(indices: np.ndarray, page: "tifffile.TiffPage") -> np.ndarray:
    colors = page.colormap
    if colors is None or colors.shape != (3, 2**page.bitspersample):
        raise ImageError(FailureCode.CORRUPT, "a TIFF with a palette that is missing or damaged")
    # The upper byte is right for both habits: value x 256 and value x 257. Old writers leave it 0.
    levels = (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)
    if int(indices.max()) >= levels.shape[1]:
        raise ImageError(FailureCode.CORRUPT, "a TIFF with pixels that its palette lacks")
    return np.ascontiguousarray(levels[::-1].T)[indices]


def _from_inks(channels: list[np.ndarray], page: "tifffile.TiffPage") -> np.ndarray:
    if len(channels) < 4 or page.tags.valueof(_INK_SET, _CMYK_INKS) != _CMYK_INKS:
        raise ImageError(
            FailureCode.UNSUPPORTED, "TIFF with inks other than CMYK, not supported: save it as RGB"
        )
    inks = [
        cv2.convertScaleAbs(c, alpha=1 / 257) if c.itemsize == 2 else np.ascontiguousarray(c)
        for c in channels[:4]
    ]
    paper = 255 - inks[3]
    return cv2.merge([cv2.multiply(255 - ink, paper, scale=1 / 255) for ink in inks[2::-1]])


def _opacity(channels: list[np.ndarray], colors: int, page: "tifffile.TiffPage") -> np.ndarray | None:
    """Return the opacity, if the file says that the sample behind the colors is one.

    A fourth sample of RGB that it says nothing about is one, too: some writers forget the tag.
    """
    extra = page.extrasamples or ((_UNASSOCIATED,) if colors == 3 else ())
    if len(channels) <= colors or not extra or extra[0] not in (_ASSOCIATED, _UNASSOCIATED):
        return None
    return channels[colors]


def _unmultiplied(shade: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    full = int(np.iinfo(shade.dtype).max)
    factor = full / np.maximum(opacity, 1).astype(np.float32)
    return np.rint(shade * factor).clip(0, full).astype(shade.dtype)
