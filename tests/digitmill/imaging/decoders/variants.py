"""All variants of formats, and the table of docs that is made of them."""

import functools

from schemas.failure import FailureCode
from tests.digitmill.imaging.decoders import other_variants, tiff_variants
from tests.digitmill.imaging.decoders.pictures import Variant
from tests.digitmill.imaging.decoders.refused_files import REFUSED

ORDER = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WebP", "AVIF", "JPEG 2000", "PNM", "HEIC", "PDF")


@functools.cache
def all_variants() -> tuple[Variant, ...]:
    """Return the variants by kind, in the order of the table."""
    variants = [*other_variants.variants(), *tiff_variants.variants()]
    return tuple(sorted(variants, key=lambda variant: ORDER.index(variant.kind)))


def table() -> str:
    """Return the table of verdicts by format in Markdown, decoded ones first in each kind."""
    rows: dict[tuple[str, str], str] = {}
    for variant in all_variants():
        verdict = variant.pages if isinstance(variant.pages, FailureCode) else "decoded"
        assert rows.setdefault((variant.kind, variant.family), verdict) == verdict, str(variant)
    ordered = sorted(rows.items(), key=lambda row: (ORDER.index(row[0][0]), row[1] != "decoded"))
    lines = ["| kind | variants | verdict |", "|---|---|---|"]
    lines += [f"| {kind} | {family} | {_shown(verdict)} |" for (kind, family), verdict in ordered]
    names = [name for name in REFUSED if not name.startswith("text")]
    return (
        "\n".join([*lines, f"| others | {', '.join(names)}, text | {_shown('UNSUPPORTED')}, by name |"])
        + "\n"
    )


def _shown(verdict: str) -> str:
    return verdict if verdict == "decoded" else f"`{verdict}`"
