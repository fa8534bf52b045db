"""Lists, reads and writes files in local folders and object stores, for training and scoring.

A place is a path, a pattern or a URI. `list_place` lists a place, `list_keys` a range of a bucket's names,
and `list_folder` and `list_level` a folder of a bucket without ranges. `ImageReader` reads images in the
listed version, and `open_place` reads one file of any size. `open_folder` returns an `OutputFolder`, whose
files are written completely or not at all, and which only one launcher can hold at a time. The clients of
object stores take half a second to import, so they are imported on first use.
"""

from digitmill.storage.interface import OutputFolder, before_run
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_input import NothingFoundError
from digitmill.storage.places import (
    can_list_ranges,
    examine_bucket,
    first_names,
    list_folder,
    list_keys,
    list_level,
    list_object,
    list_place,
    open_folder,
    open_place,
    open_text,
    pipes_kept,
    read_place,
    uri_of_place,
)
from digitmill.storage.read_limits import ReadLimits
from digitmill.storage.reader import ImageReader
from digitmill.storage.survey import Selection, Survey

__all__ = [
    "ImageReader",
    "ListedImage",
    "NothingFoundError",
    "OutputFolder",
    "ReadLimits",
    "Selection",
    "Survey",
    "before_run",
    "can_list_ranges",
    "examine_bucket",
    "first_names",
    "interface",
    "junk",
    "list_folder",
    "list_keys",
    "list_level",
    "list_object",
    "list_place",
    "listed_image",
    "local_input",
    "local_output",
    "names",
    "open_folder",
    "open_place",
    "open_text",
    "outage",
    "patterns",
    "pipes_kept",
    "read_limits",
    "read_place",
    "sorted_rows",
    "uri_of_place",
]
