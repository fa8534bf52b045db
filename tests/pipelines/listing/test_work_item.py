import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage.listed_image import ListedImage
from pipelines.listing.work_item import WorkItem, pack_items, separate_archives

IMAGES = st.lists(
    st.builds(
        ListedImage,
        uri=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
        generation=st.integers(0, 2**63 - 1),
        size=st.integers(-1, 2**40),
        label=st.integers(-1, 9),
    ),
    max_size=40,
)


@given(IMAGES, st.integers(1, 9))
def test_every_image_is_in_one_item_and_in_order(images: list[ListedImage], size: int) -> None:
    items = list(pack_items(images, "run", size=size))
    assert [image for item in items for image in item.images] == images
    assert all(1 <= len(item.images) <= size for item in items)


@given(IMAGES.filter(bool))
def test_an_item_round_trips(images: list[ListedImage]) -> None:
    (item,) = pack_items(images, "run", size=len(images))
    assert WorkItem.from_bytes(item.to_bytes()) == item


@given(IMAGES.filter(bool), st.data())
def test_the_digest_follows_content_alone(images: list[ListedImage], data: st.DataObject) -> None:
    def digest(chosen: list[ListedImage], run: str = "run") -> str:
        return next(pack_items(chosen, run, size=len(chosen))).digest

    # Read back from bytes they are other objects of the same content.
    (item,) = pack_items(images, "run", size=len(images))
    assert digest(list(WorkItem.from_bytes(item.to_bytes()).images)) == digest(images)
    place = data.draw(st.integers(0, len(images) - 1))
    for change in ({"uri": images[place].uri + "x"}, {"generation": images[place].generation + 1}):
        changed = images[place]._replace(**change)
        assert digest([*images[:place], changed, *images[place + 1 :]]) != digest(images)
    assert digest(images, "another run") != digest(images)


def items_of(*names: str, size: int) -> list[WorkItem]:
    return list(pack_items([ListedImage(f"file:///{name}", 1, 1) for name in names], "run", size=size))


def test_only_a_single_file_with_an_archives_name_may_be_an_archive() -> None:
    alone = items_of("a.zip", "a.png", size=1)
    together = items_of("a.zip", "b.zip", size=2)
    assert [item.may_be_archive for item in (*alone, *together)] == [True, False, False]


def test_archives_are_separated_in_every_item() -> None:
    items = items_of("a.zip", "b.png", "c.png", "d.png", "e.png", "f.zip", size=2)
    names = [[image.uri[-5:] for image in item.images] for item in separate_archives(items)]
    assert names == [["b.png"], ["a.zip"], ["c.png", "d.png"], ["e.png"], ["f.zip"]]


def test_a_digest_is_that_of_earlier_versions() -> None:
    """A run that an earlier version began is resumed by its items' names."""
    images = [ListedImage("file:///a.png", 5, 7), ListedImage("gs://b/c.png", 1, 2, label=3)]
    (item,) = pack_items(images, "run", size=2)
    assert item.digest == "eef8d867ae78a45a71f15a3730a8712c"


@given(IMAGES.filter(bool), st.integers(3, 6))
def test_items_that_earlier_versions_wrote_are_read(images: list[ListedImage], fields: int) -> None:
    """They were rows, of the fields that there were."""
    rows = [image[:fields] for image in images]
    item = WorkItem.from_bytes(json.dumps(["digest", rows]).encode())
    assert item == WorkItem("digest", tuple(ListedImage(*row) for row in rows))
    assert all(type(image) is ListedImage for image in item.images)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(["digest"], id="no images"),
        pytest.param(["digest", 2, [["a", "b"], 1, 1, -1, ""]], id="a column too few"),
        pytest.param(["digest", 2, [["a", "b"], 1, 1, -1, "", "", "", ""]], id="a column too many"),
        pytest.param(["digest", 3, [["a", "b"], 1, 1, -1, "", ""]], id="an image too few"),
        pytest.param(["digest", 2, [["a", 2], 1, 1, -1, "", ""]], id="a number for a name"),
        pytest.param(["digest", 2, [["a", "b"], "1", 1, -1, "", ""]], id="a text for a number"),
        pytest.param(["digest", 2, [["a", "b"], None, 1, -1, "", ""]], id="nothing for a number"),
        pytest.param(["digest", "2", [["a", "b"], 1, 1, -1, "", ""]], id="a text for the count"),
        pytest.param([1, 2, [["a", "b"], 1, 1, -1, "", ""]], id="a number for the digest"),
        pytest.param(["digest", [["a", "1"]]], id="a text in a row"),
        pytest.param(["digest", 2, 3, 4], id="more than there is"),
    ],
)
def test_other_content_is_refused(content: list) -> None:
    with pytest.raises(ValueError, match=r"listing file|argument"):
        WorkItem.from_bytes(json.dumps(content).encode())
