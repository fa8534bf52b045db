"""Reads the members of archives as images, each with a URI of its own, `archive.zip!member`."""

from collections.abc import Iterator

from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from pipelines.archives.archive_members import HEAD_BYTES, Member, archive_kind, read_members
from pipelines.listing.true_labels import label_from_member_folder
from schemas.failure import ImageError
from schemas.prediction import NO_LABEL


def read_archive(
    archive: ListedImage, reader: ImageReader, *, folder_labels: bool
) -> Iterator[tuple[ListedImage, bytes | ImageError]]:
    """Yields an archive's images, one in memory at a time; the archive itself if it cannot be read.

    A file with an archive's name that is not one counts as an image.

    Args:
        archive: as it was listed.
        reader: fetches it; objects are downloaded to a temporary file by one request.
        folder_labels: whether a member's folder is its label, if the archive holds no label for it.
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
    return label_from_member_folder(image) if folder_labels and member.label == NO_LABEL else image
