"""The structure of a GIF: a logical screen, then blocks, of which some are frames."""

from typing import Final

from digitmill.imaging.headers.image_kinds import Header, Kind, corrupt

_SCREEN: Final = 13
_EXTENSION: Final = 0x21
_FRAME: Final = 0x2C
_TRAILER: Final = 0x3B
_FRAME_HEAD: Final = 10


def header(data: bytes) -> Header:
    """Returns the structure of a GIF; the size holds the screen and every frame.

    Raises:
        ImageError: CORRUPT without a frame or a trailer.
    """
    if len(data) < _SCREEN:
        raise corrupt(f"a GIF cut off after {len(data)} bytes")
    width, height = _number(data, 6), _number(data, 8)
    place = _SCREEN + _palette(data[10])
    frames = 0
    while place < len(data):
        if data[place] == _TRAILER and frames:
            return Header(Kind.GIF, width, height, False)
        if data[place] == _FRAME and place + _FRAME_HEAD <= len(data):
            frames += 1
            width = max(width, _number(data, place + 1) + _number(data, place + 5))
            height = max(height, _number(data, place + 3) + _number(data, place + 7))
            # One byte after palette: the first code's size.
            place = _skip(data, place + _FRAME_HEAD + _palette(data[place + 9]) + 1)
        elif data[place] == _EXTENSION:
            place = _skip(data, place + 2)
        else:
            break
    raise corrupt(f"a GIF cut off after {len(data):,} bytes, or damaged, with {frames} whole frames")


def _number(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 2], "little")


def _palette(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _skip(data: bytes, place: int) -> int:
    """Returns where a row of sub-blocks ends; beyond the data when they do not."""
    while place < len(data) and data[place]:
        place += 1 + data[place]
    return place + 1
