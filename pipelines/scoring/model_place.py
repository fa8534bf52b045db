"""Brings a model bundle to where it is used: from a bucket to the launcher, and from there to the workers."""

import contextlib
import dataclasses
import pathlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Final

from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.engines.engine_choice import EngineKind
from digitmill.storage import open_folder
from pipelines.score_options import ScoreOptions
from schemas.errors import UserError
from schemas.model import bundle as names

# A path has one slash where an address has two.
_ADDRESS: Final = re.compile(r"^gs:/+")


def address(given: pathlib.Path) -> str:
    """Returns a bundle's folder as people write it."""
    return _ADDRESS.sub("gs://", str(given))


@contextlib.contextmanager
def at_launcher(given: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the folder of a bundle, for one in `gs://` a copy that is gone afterwards.

    Raises:
        UserError: when there is no bundle.
    """
    if not _ADDRESS.match(str(given)):
        yield given
        return
    source = open_folder(address(given))
    with tempfile.TemporaryDirectory(prefix="digitmill-model-") as folder:
        found = sorted(source.walk())
        if names.CARD not in found:
            raise UserError(
                f"a model bundle is a folder with a {names.CARD}",
                got=address(given),
                remedy="give the bundle folder that `digitmill train` wrote",
            )
        for name in found:
            _write(pathlib.Path(folder) / name, source.read(name))
        yield pathlib.Path(folder)


@contextlib.contextmanager
def opened(options: ScoreOptions) -> Iterator[tuple[Bundle, Bundle | None]]:
    """Yields the bundles of a run's model and of its challenger, checked; None where there is no challenger.

    Raises:
        UserError: when one is missing, damaged, or has no model for the engine.
    """
    with contextlib.ExitStack() as stack:
        model, challenger = (
            open_bundle(stack.enter_context(at_launcher(given)), options.engine) if given else None
            for given in (options.model, options.challenger)
        )
        assert model is not None
        yield model, challenger


def stage(bundles: Sequence[Bundle | None], base: str) -> None:
    """Puts what workers run of some bundles below a place, each under its digest, where it is not yet."""
    for bundle in filter(None, bundles):
        target = open_folder(_of(bundle, base))
        for name in _run_of(bundle):
            target.write_once(name, (bundle.path / name).read_bytes())


@contextlib.contextmanager
def at_worker(bundle: Bundle, base: str | None) -> Iterator[Bundle]:
    """Yields a bundle whose model can be loaded on this machine.

    The engine compares every file with the card's digest, so it does not matter which way it came.
    """
    if base is None or all((bundle.path / name).exists() for name in _run_of(bundle)):
        yield bundle
        return
    source = open_folder(_of(bundle, base))
    with tempfile.TemporaryDirectory(prefix="digitmill-model-") as folder:
        for name in _run_of(bundle):
            _write(pathlib.Path(folder) / name, source.read(name))
        yield dataclasses.replace(bundle, path=pathlib.Path(folder))


def _run_of(bundle: Bundle) -> list[str]:
    """The files that its engine reads."""
    if bundle.engine.kind is not EngineKind.SAVED_MODEL:
        return [bundle.engine.model]
    return [name for name in bundle.card.files if name.startswith(f"{names.SAVED_MODEL}/")]


def _of(bundle: Bundle, base: str) -> str:
    return f"{base}/{bundle.digest[:32]}"


def _write(file: pathlib.Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
