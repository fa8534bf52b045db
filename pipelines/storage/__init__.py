"""Where images come from and where outputs go: local files and object stores as equals."""

from pipelines.storage.interface import OutputFolder
from pipelines.storage.places import list_place, open_folder
from pipelines.storage.reader import ImageReader

__all__ = ["ImageReader", "OutputFolder", "list_place", "open_folder"]
