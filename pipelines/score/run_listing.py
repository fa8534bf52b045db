"""Lists a run's inputs in the launcher and freezes them in the output as work items."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator, Iterator, Sequence

from digitmill.commands import run_config
from digitmill.storage import OutputFolder, Selection, Survey
from digitmill.storage.interface import Hold
from pipelines.history import incremental
from pipelines.history.past_runs import PastRun
from pipelines.listing.frozen_labels import freeze_labels
from pipelines.listing.frozen_listing import FrozenItem, ListingIndex, freeze_listing, read_index
from pipelines.listing.input_listing import (
    Listing,
    list_images,
    list_named,
    list_with_ranges,
    read_input_list,
    stable_sample,
)
from pipelines.listing.true_labels import FOLDER, LabelsFile, attach_labels
from pipelines.output import output_run
from pipelines.output.run_progress import show_listing
from pipelines.score_options import ScoreOptions
from schemas import run_plan
from schemas.errors import UnreconciledError, UserError
from schemas.layout import LISTING_INDEX
from schemas.run_plan import RunPlan


@dataclasses.dataclass
class RunListing:
    """The work items of a new run, each frozen in the output before it is yielded. Can be iterated once.

    A Beam step may iterate it. Beam turns an error in a step into text; `errors` raises the original error.

    `undo` removes everything the run has written, for inputs that turn out to be unusable.
    """

    items: Generator[FrozenItem, None, None]
    output: OutputFolder
    undo: Callable[[], None]
    _error: Exception | None = dataclasses.field(default=None, init=False)
    _consumed: bool = dataclasses.field(default=False, init=False)

    def __iter__(self) -> Iterator[FrozenItem]:
        if self._consumed:
            raise RuntimeError("the listing was already consumed")
        self._consumed = True
        try:
            yield from self.items
        except Exception as error:
            self._error = error
            raise

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Context manager around the iteration: raises the listing's original error.

        Raises:
            UserError: when the inputs cannot be listed to the end; the run's files are removed then.
            StorageError: when another launcher has taken over the output; nothing is removed then.
        """
        try:
            yield
        except Exception:
            if self._error is None:
                raise
            if isinstance(self._error, UserError):
                self.undo()
            raise self._error from None
        finally:
            self.items.close()

    def index(self) -> ListingIndex:
        """Return the index of the whole listing.

        Raises:
            UnreconciledError: when the listing was not iterated to its end.
        """
        index = read_index(self.output)
        if index is None:
            raise UnreconciledError(
                f"the listing has no index, so it may not be complete: {self.output.at(LISTING_INDEX)!r}. "
                "Run the same command with --resume."
            )
        return index


def begin_run(
    options: ScoreOptions,
    plan: RunPlan,
    output: OutputFolder,
    *,
    run: str,
    hold: Hold,
    past: Sequence[PastRun] = (),
    spread: bool = True,
) -> RunListing:
    """Write a new run's plan and return its listing; if `spread`, workers may list the rest.

    Raises:
        UserError: when there is nothing to list in the inputs; nothing is written then.
    """
    # Assume about as many images as in an earlier run.
    known = [earlier.manifest.counts.listed for earlier in past]
    listing = open_listing(options, spread=spread)
    listing.begin()
    listing.map(functools.partial(show_listing, expected=max(known, default=None)))
    new = not output.exists(run_plan.FILE)
    output.write_once(run_plan.FILE, plan.to_json().encode())
    output.write_once(run_config.FILE, options.run_config().encode())
    items = freeze_listing(
        listing,
        output,
        run=run,
        most=options.rows_per_part,
        buckets=lambda images: incremental.bucket_count(max(images, *known)) if past else 0,
        confirm=hold.confirm,
    )

    def undo() -> None:
        if new:
            hold.confirm()
            output_run.remove_started_run(output)

    return RunListing(items, output, undo=undo)


def open_listing(options: ScoreOptions, *, spread: bool = True) -> Listing:
    """Return the images to score, listed lazily; if `spread`, workers may list the rest of a large folder."""
    survey = Survey(Selection(options.include, options.exclude), strict=options.strict_listing)
    # Not if two lists could name the same image, nor if only a part of the images is chosen.
    spread = spread and not (options.limit or options.sample)
    if spread and options.input_list is None:
        listing = list_with_ranges(options.inputs, survey=survey)
    elif spread and options.input_list and not options.inputs:
        listing = list_named(options.input_list, options.limits, carry=options.carried)
        listing.survey = survey
    else:
        named = (
            read_input_list(options.input_list, options.limits, carry=options.carried)
            if options.input_list
            else []
        )
        images = list_images(options.inputs, named, survey=survey)
        if options.sample:
            images = iter(stable_sample(images, options.sample))
        listing = Listing(images, limit=options.limit, survey=survey)
    if options.labels is None:
        return listing
    labels = FOLDER if options.labels == FOLDER else LabelsFile(options.labels)
    if isinstance(labels, LabelsFile):
        listing.side_files.append(functools.partial(freeze_labels, labels))
    return listing.map(functools.partial(attach_labels, labels=labels, more=lambda: bool(listing.ranges)))
