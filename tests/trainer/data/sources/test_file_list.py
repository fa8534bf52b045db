from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage.listed_image import ListedImage
from trainer.data.sources import file_list
from trainer.data.sources.file_list import FileList, LabeledFile

# Surrogates stand for bytes of a name that are not UTF-8.
names = st.text(st.characters(exclude_categories=("Cs",)) | st.just("\udcff"), max_size=20)
images = st.builds(
    ListedImage, names.map("file:///{}".format), st.integers(0, 2**63 - 1), st.integers(-1, 2**40)
)
files = st.lists(
    st.builds(LabeledFile, images, st.integers(0, 9), st.sampled_from(["", "0" * 64]), st.binary(max_size=9)),
    max_size=60,
)


def selected(found: FileList, shard: tuple[int, int], most: int) -> list[tuple[int, LabeledFile]]:
    chunks = list(found.select(shard, most=most))
    assert all(0 < len(some) == len(positions) <= most for positions, some in chunks)
    return [pair for positions, some in chunks for pair in zip(positions.tolist(), some, strict=True)]


@given(files, st.integers(1, 4), st.integers(1, 9), st.integers(1, 20))
def test_workers_select_every_file_once_and_in_turn(given_files, workers, most, block):
    before, file_list._BLOCK = file_list._BLOCK, block
    try:
        found = FileList.from_bytes(FileList.of(given_files).to_bytes())
        assert len(found) == len(given_files)
        assert found.digest == FileList.of(given_files).digest
        for index in range(workers):
            expected = list(enumerate(given_files))[index::workers]
            assert selected(found, (index, workers), most) == expected
    finally:
        file_list._BLOCK = before


@given(files, st.integers(0, 59))
def test_another_file_is_another_digest(given_files, which):
    if which < len(given_files):
        image = given_files[which].image
        changed = [*given_files]
        changed[which] = given_files[which]._replace(image=image._replace(size=image.size + 1))
        assert FileList.of(changed).digest != FileList.of(given_files).digest


def test_counts_are_by_class():
    one = LabeledFile(ListedImage("file:///x", 0, 1), 7)
    assert FileList.of([one, one]).class_counts == [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]
