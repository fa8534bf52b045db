"""Images that cannot be trained on: named, counted, and beyond a share fatal."""

from collections.abc import Sequence
from typing import Final

from imaging.errors import ImageError
from schemas.errors import UserError

MAX_SHARE: Final = 0.05
"""Beyond this share of unusable images the data is not what it is taken for, and the job stops."""

_NAMED = 20


def report(rejects: Sequence[tuple[str, ImageError]], *, images: int, source: str) -> None:
    """Prints which images are left out and why; the first twenty by name, all by number.

    Args:
        rejects: name and error of each unusable image.
        images: how many images there are, the unusable ones included.
        source: the `--data` value.

    Raises:
        UserError: when they are more than `MAX_SHARE` of the images.
    """
    if not rejects:
        return
    for name, error in rejects[:_NAMED]:
        print(f"  not usable: {name!r}: {error}")
    if len(rejects) > _NAMED:
        print(f"  … and {len(rejects) - _NAMED:,} more")
    print(f"{source}: {len(rejects):,} of {images:,} images are not usable and are left out", flush=True)
    if len(rejects) > MAX_SHARE * images:
        raise UserError(
            f"at most {MAX_SHARE:.0%} of the images may be unusable",
            got=f"{len(rejects)} of {images} in {source}",
            remedy=f"mend or remove them; the first is {rejects[0][0]!r}: {rejects[0][1]}",
        )
