"""Rejects typos and missing paths before slow imports, using the checks of the job itself.

Only checks local paths; the job checks object stores, so that each is asked only once.
"""

import os
from collections.abc import Callable

from digitmill.engines.bundle_files import read_card
from digitmill.storage import list_place, open_folder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import local_path, real_root
from digitmill.storage.object_stores.uris import is_object
from pipelines.history.past_runs import find_runs
from pipelines.listing.input_listing import check_output_outside_inputs, read_input_list
from pipelines.listing.true_labels import FOLDER, LabelsFile, check_header
from pipelines.output.output_run import read_state
from pipelines.runners.flag_names import check_flag_names
from pipelines.score_options import ScoreOptions


def check_early(options: ScoreOptions, *, begins: bool) -> None:
    """Check flags, output and paths of a run, in the job's order; `begins` is false for a dry run.

    Raises:
        UserError: for the same reasons as the job.
    """
    check_flag_names(options.beam_flags)
    # A resumed run may no longer need its inputs.
    resumed = options.resume
    if options.output and not is_object(options.output):
        output = open_folder(options.output)
        resumed = begins and read_state(output, resume=options.resume).plan is not None
        check_output_outside_inputs(options.inputs, output.place)
    for place in (options.model, options.challenger):
        if place is not None and not is_object(place):
            read_card(place)
    if resumed:
        return
    for given in options.inputs:
        _read_missing(given, _first_image)
    # In the first run, --since may name the parent of its own output, which does not exist yet.
    if not _lies_in(options.output, options.since):
        _read_missing(options.since, find_runs)
    _read_missing(options.input_list, read_input_list)
    labels = None if options.labels == FOLDER else options.labels
    _read_missing(labels, LabelsFile)
    if labels is not None and not is_object(labels) and os.path.isfile(local_path(labels)):
        check_header(labels)


def _first_image(given: str) -> ListedImage | None:
    return next(list_place(given), None)


def _lies_in(place: str, folder: str | None) -> bool:
    if folder is None or is_object(folder) or is_object(place):
        return False
    return os.path.abspath(local_path(place)).startswith(os.path.abspath(local_path(folder)) + os.sep)


def _read_missing(place: str | None, read: Callable[[str], object]) -> None:
    """Read a path that does not exist, in order to raise the reader's own error."""
    # Do not read existing paths: a shell's pipe can be read only once.
    if place is None or is_object(place) or os.path.lexists(local_path(place)):
        return
    root, pattern = real_root(local_path(place))
    if not pattern or not os.path.isdir(root):
        read(place)
