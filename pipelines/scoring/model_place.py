"""Copies model bundles to where they run: from a bucket to the launcher, and from there to workers."""

import contextlib
import dataclasses
import functools
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from digitmill.engines.bundle_files import read_bundle_file, read_card
from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_choice import EngineKind
from digitmill.storage import open_folder
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from schemas.model import bundle as names
from schemas.model.model_card import ModelCard

# pathlib reduces the two slashes of an address to one.
_ADDRESS: Final = re.compile(r"^(gs|s3|az):/+")


def display_address(given: pathlib.Path) -> str:
    """Return a bundle's folder as users write it."""
    return _ADDRESS.sub(r"\1://", str(given))


@contextlib.contextmanager
def local_bundle(given: pathlib.Path) -> Iterator[pathlib.Path]:
    """Context manager that yields a bundle's local folder; for one in a bucket, a temporary copy.

    Raises:
        UserError: when there is no bundle, or it is damaged.
    """
    if not _ADDRESS.match(str(given)):
        yield given
        return
    place = display_address(given)
    try:
        files = ModelCard.from_json(read_card(place).decode()).files
    except ValueError as error:
        raise UserError(
            "damaged model bundle",
            value=place,
            hint=f"copy it again or train it anew: its {names.CARD} cannot be read: {error}",
        ) from error
    with _temporary_copy(functools.partial(read_bundle_file, place), [names.CARD, *files]) as folder:
        yield folder


@contextlib.contextmanager
def open_bundles(options: ScoreOptions) -> Iterator[tuple[Bundle, Bundle | None]]:
    """Context manager that yields the checked bundles of a run's model and challenger; None without one.

    Raises:
        UserError: when one is missing, damaged, or has no model for the engine.
    """
    with contextlib.ExitStack() as stack:
        model, challenger = (
            open_bundle(stack.enter_context(local_bundle(given)), options.engine) if given else None
            for given in (options.model, options.challenger)
        )
        assert model is not None
        yield model, challenger


def stage_models(bundles: Sequence[Bundle | None], base: str) -> None:
    """Upload the files that workers need of each bundle, to a folder named by the bundle's digest."""
    for bundle in filter(None, bundles):
        target = open_folder(_staged_folder(bundle, base))
        target.claim()
        for name in _engine_files(bundle):
            target.write_once(name, (bundle.path / name).read_bytes())


@contextlib.contextmanager
def worker_bundle(bundle: Bundle, base: str | None) -> Iterator[Bundle]:
    """Context manager that yields a bundle whose model is on this machine, copied from `base` if need be."""
    if base is None or all((bundle.path / name).exists() for name in _engine_files(bundle)):
        yield bundle
        return
    with _temporary_copy(open_folder(_staged_folder(bundle, base)).read, _engine_files(bundle)) as folder:
        yield dataclasses.replace(bundle, path=folder)


def _engine_files(bundle: Bundle) -> list[str]:
    """Return the files that a bundle's engine reads."""
    if bundle.engine.kind is not EngineKind.SAVED_MODEL:
        return [bundle.engine.model]
    return [name for name in bundle.card.files if name.startswith(f"{names.SAVED_MODEL}/")]


def _staged_folder(bundle: Bundle, base: str) -> str:
    return f"{base}/{bundle.digest[:32]}"


@contextlib.contextmanager
def _temporary_copy(read: Callable[[str], bytes], files: Sequence[str]) -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="digitmill-model-") as folder:
        for name in files:
            file = pathlib.Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(read(name))
        yield pathlib.Path(folder)
