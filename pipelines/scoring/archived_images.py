"""An archive's members as images of a run: each has an identity of its own, `archive.zip!member`."""

from collections.abc import Iterator

from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from pipelines.archives import HEAD_BYTES, Member, archive_kind, read_members
from pipelines.listing.true_labels import by_member_folder
from schemas.failure import ImageError
from schemas.prediction import NO_LABEL


def read_archive(
    archive: ListedImage, reader: ImageReader, *, folder_labels: bool
) -> Iterator[tuple[ListedImage, bytes | ImageError]]:
    """Yields an archive's images, one in memory at a time; at least one, itself where it cannot be read.

    A file that has an archive's name but is none is one image.

    Args:
        archive: as it was listed.
        reader: fetches it; an object goes to a temporary file first, by one request.
        folder_labels: whether a member's folder is its label, where it holds none of its own.
    """
    try:
        file = reader.fetch(archive)
    except ImageError as error:
        yield archive, error
        return
    with file:
        kind = archive_kind(archive.uri, file.read(HEAD_BYTES))
        file.seek(0)
        if kind is None:
            yield from zip([archive], reader.read([archive]), strict=True)
            return
        for member in read_members(file, kind, name=archive.uri):
            yield _image(member, archive, folder_labels=folder_labels), member.content


def _image(member: Member, archive: ListedImage, *, folder_labels: bool) -> ListedImage:
    size = len(member.content) if isinstance(member.content, bytes) else -1
    image = ListedImage(member.name, archive.generation, size, label=member.label)
    return by_member_folder(image) if folder_labels and member.label == NO_LABEL else image
