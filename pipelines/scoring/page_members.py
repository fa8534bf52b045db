"""Gives each page of a file, or frame of an animation, a row of its own, named `FILE!PAGE`."""

from collections.abc import Iterable, Iterator

from digitmill.imaging.page_reading import (
    HEAD,
    STILL_PNG,
    Content,
    Page,
    may_have_pages,
    read_pages,
)
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import page_uri
from schemas.errors import WorkerError
from schemas.prediction import NO_LABEL, Pages

OwnedContent = tuple[ListedImage, Content]
"""An image with its content, or with the error that occurred when reading it."""


class PagedContents:
    """Splits the contents of files into pages; a file of one page keeps its name.

    If a file has too many pages, one failure under the file's own name stands for the rest. A file's label
    applies to all its pages, unless they have their own labels.

    Args:
        contents: images, each with its file's bytes or the error that occurred when reading it.
        pages: whether pages beyond the first are images too.

    Attributes:
        further: number of extra pages so far, beyond the first page of each file.
    """

    def __init__(self, contents: Iterable[OwnedContent], pages: Pages = Pages.ALL) -> None:
        self._contents = contents
        self._images = self._all() if pages == Pages.ALL else iter(contents)
        self.further = 0

    def __iter__(self) -> Iterator[OwnedContent]:
        return self._images

    def _all(self) -> Iterator[OwnedContent]:
        # Nearly all images are small PNGs: an inline check takes 0.1 us, a call 0.2 us.
        head, still = HEAD, STILL_PNG
        for owned in self._contents:
            image, content = owned
            if not isinstance(content, bytes) or content[head] == still or not may_have_pages(content):
                yield owned
                continue
            try:
                pages = read_pages(content)
            except WorkerError as error:
                # Name the image: it may be larger than all others and so the only one that fails.
                raise WorkerError(
                    f"{error.error}, on {image.uri}", value=error.value, hint=error.hint
                ) from error
            self.further += len(pages) - 1
            for page in pages:
                named = _page(image, page.number) if len(pages) > 1 and isinstance(page, Page) else image
                yield named, page


def _page(image: ListedImage, number: int) -> ListedImage:
    label = image.label
    if image.page_labels:
        own = image.page_labels[number : number + 1]
        label = int(own) if own.isdigit() else NO_LABEL
    return image._replace(uri=page_uri(image.uri, number + 1), label=label)
