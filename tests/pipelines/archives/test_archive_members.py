import collections
import io
import os
import random
import stat
import struct
import subprocess
import tarfile
import tracemalloc
import urllib.parse
import zipfile
from collections.abc import Callable, Container

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from digitmill.records import encode_records, inflation
from pipelines.archives import (
    HEAD_BYTES,
    ArchiveKind,
    Member,
    archive_kind,
    archive_members,
    archive_zip,
    member_uri,
    read_members,
)
from schemas import packed
from schemas.columns import Column
from schemas.digit import NOT_A_DIGIT
from schemas.failure import MAX_BYTES, FailureCode, ImageError
from schemas.prediction import NO_LABEL
from tests.pipelines.archive_writer import (
    WRITERS,
    forged_zip,
    gzipped,
    tar_header,
    tar_of,
    tfrecord_of,
    zip_of,
)
from tests.record_files import file_of, flipped

URI = "file:///data/archive"
KINDS = list(ArchiveKind)
CORRUPT, UNSUPPORTED, TOO_LARGE = FailureCode.CORRUPT, FailureCode.UNSUPPORTED, FailureCode.TOO_LARGE
TAR_END = bytes(1024)

NAMES = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and name[-1:] != b"/")
CONTENTS = st.binary(max_size=2000)
FILES = st.lists(st.tuples(NAMES, CONTENTS), min_size=1, max_size=6)
FEW = [(b"3/a.png", b"\x89PNG" + bytes(700)), (b"b.png", b"not so long"), (b"c", bytes(range(256)) * 9)]


def members(data: bytes, kind: ArchiveKind, name: str = URI) -> list[Member]:
    return list(read_members(io.BytesIO(data), kind, name=name))


class MeteredFile(io.BytesIO):
    """A file that counts the bytes that are read from it."""

    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


def contents(data: bytes, kind: ArchiveKind) -> list[bytes | FailureCode]:
    found = (member.content for member in members(data, kind))
    return [content.code if isinstance(content, ImageError) else content for content in found]


def only_failure(data: bytes, kind: ArchiveKind) -> str:
    (member,) = members(data, kind)
    assert isinstance(member.content, ImageError)
    return str(member.content)


def as_read(content: bytes) -> bytes | FailureCode:
    return UNSUPPORTED if archive_kind("", content[:HEAD_BYTES]) else content


# ---- what is in an archive comes out of it


@pytest.mark.parametrize("kind", KINDS)
@given(files=FILES)
@settings(deadline=None, max_examples=40)
@example(files=[(b"a", b""), (b"a", b""), (b"a#2", b""), (b"a", b"x")])
@example(files=[(b"x" * 256, b"a"), (b"../../etc/passwd", b"b"), (b"/etc/passwd", b"c")])
def test_every_member_comes_once_as_it_was(kind: ArchiveKind, files: list[tuple[bytes, bytes]]) -> None:
    if kind in (ArchiveKind.TFRECORD, ArchiveKind.TFRECORD_GZ):
        files = [(urllib.parse.quote_from_bytes(name).encode(), content) for name, content in files]
    found = members(WRITERS[kind](files), kind)
    assert [as_read(content) for _, content in files] == [
        member.content.code if isinstance(member.content, ImageError) else member.content for member in found
    ]
    parts = [member.name.removeprefix(URI + "!").partition("#")[0] for member in found]
    assert [urllib.parse.unquote_to_bytes(part) for part in parts] == [name for name, _ in files]
    assert len({member.name for member in found}) == len(files)
    assert {member.label for member in found} == {NO_LABEL}


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@given(files=FILES)
@settings(deadline=None, max_examples=40)
def test_every_format_of_tar_is_read(tar_format: int, files: list[tuple[bytes, bytes]]) -> None:
    files = [(name[:90] if tar_format == tarfile.USTAR_FORMAT else name, content) for name, content in files]
    files = [(name + b"x" if name.endswith(b"/") else name, content) for name, content in files]
    data = tar_of(files, tar_format)
    assert members(data, ArchiveKind.TAR)[0].name == member_uri(URI, files[0][0])
    assert contents(data, ArchiveKind.TAR) == [as_read(content) for _, content in files]


def test_a_ustar_name_may_be_in_two_parts() -> None:
    name = b"a" * 80 + b"/" + b"b" * 90
    (member,) = members(tar_of([(name, b"x")], tarfile.USTAR_FORMAT), ArchiveKind.TAR)
    assert member == Member(member_uri(URI, name), b"x")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@given(files=FILES)
@settings(deadline=None, max_examples=40)
def test_stored_and_deflated_members_are_read(method: int, files: list[tuple[bytes, bytes]]) -> None:
    assert contents(zip_of(files, method), ArchiveKind.ZIP) == [as_read(content) for _, content in files]


@pytest.mark.slow
def test_a_zip_of_many_entries_and_with_something_before_it() -> None:
    files = [(b"%d" % number, b"x") for number in range(66_000)]
    data = b"#!/bin/sh\n" + zip_of(files, zipfile.ZIP_STORED)
    assert len(members(data, ArchiveKind.ZIP)) == 66_000


def test_a_streamed_zip_is_read() -> None:
    assert contents(streamed_zip(), ArchiveKind.ZIP) == [content for _, content in FEW]


def streamed_zip() -> bytes:
    class Pipe(io.RawIOBase):
        data = b""

        def write(self, data: bytes) -> int:
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FEW:
            archive.writestr(name.decode(), content)
    return pipe.data


def test_folders_are_no_members(tmp_path) -> None:
    (tmp_path / "in" / "3").mkdir(parents=True)
    (tmp_path / "in" / "3" / "a.png").write_bytes(b"a")
    for command in (
        ["tar", "cf", "x.tar", "in"],
        ["tar", "czf", "x.tgz", "in"],
        ["zip", "-qr", "x.zip", "in"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True)
    for name in ("x.tar", "x.tgz", "x.zip"):
        data = (tmp_path / name).read_bytes()
        kind = archive_kind(name, data[:HEAD_BYTES])
        assert members(data, kind) == [Member(f"{URI}!in/3/a.png", b"a")]


@pytest.mark.parametrize("kind", KINDS)
def test_junk_is_no_member_and_is_counted(kind: ArchiveKind) -> None:
    junk = (b"__MACOSX/3/._a.png", b".DS_Store", b"3/Thumbs.db", b"manifest.json")
    data = WRITERS[kind]([(b"3/a.png", b"a"), *((name, b"junk") for name in junk)])
    ignored: collections.Counter[str] = collections.Counter()
    (member,) = read_members(io.BytesIO(data), kind, name=URI, ignored=ignored)
    assert member.content == b"a"
    assert ignored == {URI: 4}


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_without_members_is_one_failure(kind: ArchiveKind) -> None:
    (member,) = members(WRITERS[kind]([]), kind)
    assert member.name == URI
    assert member.content.code is FailureCode.EMPTY


# ---- names


def test_names_of_members() -> None:
    assert member_uri("file:///a%20b.zip", b"3/a b!#%\xff.png") == "file:///a%20b.zip!3/a%20b%21%23%25%FF.png"
    assert member_uri("gs://b/a b.zip", "3/ä b!#%\n.png".encode()) == "gs://b/a b.zip!3/ä b%21%23%25%0A.png"
    assert member_uri("gs://b/a.zip", b"\xff=1", nth=3) == "gs://b/a.zip!%FF=1#3"


@given(st.binary(max_size=30), st.sampled_from(["file:///x%21y.zip", "gs://b/x!y.zip"]))
def test_a_member_s_name_comes_back_byte_for_byte(name: bytes, archive: str) -> None:
    uri = member_uri(archive, name)
    assert uri.encode()
    before, _, part = uri.rpartition("!")
    assert (before, urllib.parse.unquote_to_bytes(part)) == (archive, name)


@given(st.lists(st.sampled_from([b"a", b"a#2", b"a#3", b"a!", b"a%232"]), max_size=12))
def test_no_two_members_share_a_name(names: list[bytes]) -> None:
    for archive in (URI, "gs://b/x"):
        found = members(zip_of([(name, b"x") for name in names]), ArchiveKind.ZIP, archive)
        assert len({member.name for member in found}) == max(1, len(names))


def test_names_too_long_are_failures_of_their_own() -> None:
    found = members(zip_of([(b"x" * 5000, b"a"), (b"x" * 5001, b"b"), (b"c", b"c")]), ArchiveKind.ZIP)
    assert len({member.name for member in found}) == 3
    assert [member.content == b"c" for member in found] == [False, False, True]
    assert found[0].content.code is UNSUPPORTED


# ---- what is an archive


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        *((kind, FEW) for kind in KINDS),
        # A tar begins with a name, which may look like an image.
        (ArchiveKind.TAR, [(b"BMW.png", b"x")]),
        (ArchiveKind.TAR, [(b"II*\0", b"x")]),
    ],
)
def test_content_tells_the_kind_whatever_the_name(kind: ArchiveKind, files: list) -> None:
    for name in ("x", "x.png", "x.zip", "x.tar", "x.tfrecord.gz"):
        assert archive_kind(name, WRITERS[kind](files)[:HEAD_BYTES]) is kind


def test_images_and_anything_else_are_no_archives(png_of: Callable, digits: np.ndarray) -> None:
    picture = png_of(digits[0])
    for head in (picture, picture[:20], b"", b"BM" + bytes(100), b"GIF89a", b"\xff\xd8\xff\xe0"):
        assert archive_kind("x.png", head) is None
        assert archive_kind("x.tar", head) is None
    assert archive_kind("x.txt", b"text") is None
    assert archive_kind("x.gz", gzipped(b"text")) is None
    assert archive_kind("x", bytes(512)) is None


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("x.TAR", bytes(512), ArchiveKind.TAR),
        ("x", bytes(257) + b"ustar" + bytes(250), ArchiveKind.TAR),
        ("gs://b/x.tgz", gzipped(b"text"), ArchiveKind.TAR_GZ),
        ("x.tar.gz", gzipped(b"text")[:12], ArchiveKind.TAR_GZ),
        ("x.zip", b"text", ArchiveKind.ZIP),
        ("x.tfrecord", b"text", ArchiveKind.TFRECORD),
        ("x.tfrecords.gz", gzipped(b"text"), ArchiveKind.TFRECORD_GZ),
    ],
)
def test_a_damaged_archive_is_told_by_its_name(name: str, head: bytes, kind: ArchiveKind) -> None:
    assert archive_kind(name, head) is kind
    assert only_failure(head, kind).startswith(("CORRUPT", "EMPTY"))


# ---- members that are no files


def test_links_devices_and_pipes_in_a_tar_are_failures() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"t{kind.decode()}")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        archive.addfile(tarfile.TarInfo("empty"))
    assert contents(data.getvalue(), ArchiveKind.TAR) == [UNSUPPORTED] * 5 + [b""]
    assert "a symbolic link" in str(members(data.getvalue(), ArchiveKind.TAR)[0].content)


def test_unknown_types_and_sparse_files_are_failures_and_are_passed_over() -> None:
    gnu_sparse = bytearray(tar_header(b"sparse", 512, b"S"))
    gnu_sparse[482] = 1
    gnu_sparse[148:156] = b" " * 8
    gnu_sparse[148:156] = b"%06o\0 " % sum(gnu_sparse)
    more = bytes(504) + b"\1" + bytes(7)
    record = b"22 GNU.sparse.major=1\n"
    pax = tar_header(b"pax", len(record), b"x") + record.ljust(512, b"\0")
    data = bytes(gnu_sparse) + more + bytes(512) + b"S" * 512
    data += pax + tar_header(b"sparse too", 3) + b"abc".ljust(512, b"\0")
    data += tar_header(b"dump", 3, b"D") + b"abc".ljust(512, b"\0")
    data += tar_header(b"tape", 0, b"V") + tar_header(b"last", 3) + b"abc".ljust(512, b"\0")
    assert contents(data + TAR_END, ArchiveKind.TAR) == [UNSUPPORTED] * 3 + [b"abc"]


def test_gnu_tar_s_own_sparse_files_are_failures(tmp_path) -> None:
    with open(tmp_path / "holes", "wb") as file:
        for position in range(0, 2**22, 2**17):
            file.seek(position)
            file.write(b"x" * 5000)
    (tmp_path / "last").write_bytes(b"last")
    for flavor in ("gnu", "pax"):
        command = ["tar", "--sparse", f"--format={flavor}", "-cf", "x.tar", "holes", "last"]
        subprocess.run(command, cwd=tmp_path, check=True)
        assert contents((tmp_path / "x.tar").read_bytes(), ArchiveKind.TAR) == [UNSUPPORTED, b"last"]


@pytest.mark.parametrize(
    ("change", "code", "detail"),
    [
        ({"flags": 1}, UNSUPPORTED, "encrypted"),
        ({"method": 12}, UNSUPPORTED, "compressed by method 12"),
        ({"method": 14}, UNSUPPORTED, "compressed by method 14"),
        ({"mode": stat.S_IFLNK | 0o777}, UNSUPPORTED, "a link"),
        ({"crc": 1}, CORRUPT, "checksum"),
        ({"size": 3}, CORRUPT, "9 bytes, but its header says 3"),
        ({"size": MAX_BYTES + 1}, TOO_LARGE, "33,554,433 bytes"),
        ({"packed": 3}, CORRUPT, "cut short"),
        ({"packed": 2**31}, CORRUPT, "packed"),
        ({"packed": 2**20}, CORRUPT, "beyond"),
        ({"at": 3}, CORRUPT, "its bytes overlap those of another"),
        ({"at": 2**32 - 2}, CORRUPT, "beyond"),
    ],
)
def test_a_bad_member_of_a_zip_harms_no_other(change: dict, code: FailureCode, detail: str) -> None:
    entries = [
        {"name": b"gap", "content": b""},
        {"name": b"bad", "content": b"the image"} | change,
        {"name": b"good", "content": b"good"},
    ]
    _, bad, good = members(forged_zip(entries), ArchiveKind.ZIP)
    assert bad.content.code is code
    assert detail in bad.content.detail
    assert good.content == b"good" or "at" in change


def test_a_directory_that_leads_elsewhere_is_noticed() -> None:
    data = forged_zip([{"name": b"first", "content": b"1"}, {"name": b"second", "content": b"2"}])
    renamed = data[: data.index(b"PK\1\2")] + data[data.index(b"PK\1\2") :].replace(b"first", b"other")
    assert "another member where" in str(members(renamed, ArchiveKind.ZIP)[0].content)
    assert contents(b"PK\0\0" + data[4:], ArchiveKind.ZIP) == [CORRUPT, b"2"]


def test_a_stored_member_that_says_it_is_longer_is_corrupt() -> None:
    data = bytearray(zip_of([(b"a", b"content"), (b"b", b"other")], zipfile.ZIP_STORED))
    at = data.index(b"content")
    data[at] ^= 1
    assert contents(bytes(data), ArchiveKind.ZIP) == [CORRUPT, b"other"]


def test_archives_within_archives_are_failures() -> None:
    inner = [(b"x.bin", WRITERS[kind](FEW)) for kind in KINDS]
    for kind in KINDS:
        assert contents(WRITERS[kind](inner), kind) == [UNSUPPORTED] * len(KINDS)


def test_a_zip_in_several_files_is_refused() -> None:
    data = bytearray(zip_of(FEW))
    data[-18:-14] = b"\1\0\1\0"
    assert "join them first" in only_failure(bytes(data), ArchiveKind.ZIP)


def test_gnu_tar_and_zip_agree(tmp_path) -> None:
    names = [b"a b.png", b"\xff\n.png", "ü".encode(), b"x" * 120, b"d/" + b"y" * 240]
    (tmp_path / "d").mkdir()
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(b"of " + name)
    for options in (["v7"], ["oldgnu"], ["gnu"], ["pax"], ["ustar"]):
        short = [name for name in names if options[0] not in ("v7", "ustar") or len(name) < 100]
        command = ["tar", f"--format={options[0]}", "-cf", "x.tar", *short]
        subprocess.run(command, cwd=tmp_path, check=True)
        data = (tmp_path / "x.tar").read_bytes()
        assert archive_kind("x", data[:HEAD_BYTES]) is ArchiveKind.TAR
        expected = [Member(member_uri(URI, name), b"of " + name) for name in short]
        assert members(data, ArchiveKind.TAR) == expected


def test_an_error_of_the_storage_ends_an_archive() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    (member,) = read_members(Failing(), ArchiveKind.TAR, name=URI)
    assert member.content.code is FailureCode.UNREADABLE


# ---- damage


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_archive_gives_what_came_before_and_one_failure(kind: ArchiveKind) -> None:
    data = WRITERS[kind](FEW)
    counts = set()
    for length in range(1, len(data), 7):
        if length in complete_at(data, kind):
            continue
        *before, last = members(data[:length], kind)
        assert [member.content for member in before] == [content for _, content in FEW[: len(before)]]
        assert last.content.code is CORRUPT
        if kind is ArchiveKind.TFRECORD:
            assert last.name == f"{URI}!record-at-{len(tfrecord_of(FEW[: len(before)]))}"
        else:
            assert last.name == URI
            assert f"{len(before)} members were read before" in last.content.detail
        counts.add(len(before))
    assert max(counts) >= len(FEW) - 1


def complete_at(data: bytes, kind: ArchiveKind) -> Container[int]:
    """The lengths at which an archive's format cannot tell that something is missing."""
    if kind is ArchiveKind.TAR:
        end_mark = -(-len(data.rstrip(b"\0")) // 512) * 512
        return range(end_mark + 512, len(data))
    ends, at = set(), 0
    while kind is ArchiveKind.TFRECORD and at < len(data):
        at += 16 + struct.unpack_from("<Q", data, at)[0]
        ends.add(at)
    return ends


def test_a_cut_zip_whose_sizes_follow_gives_what_came_before() -> None:
    data = streamed_zip()
    cut = data.index(b"PK\1\2")
    *before, last = members(data[:cut], ArchiveKind.ZIP)
    assert [member.content for member in before] == [content for _, content in FEW]
    assert last.name == URI
    assert len(members(data[: cut - 10], ArchiveKind.ZIP)) == len(FEW)


def test_a_cut_zip_is_not_taken_for_the_zip_within_it() -> None:
    data = zip_of([(b"first", b"1"), (b"inner.zip", zip_of(FEW)), (b"last", b"2")], zipfile.ZIP_STORED)
    cut = data[: data.index(b"last") - 20]
    assert contents(cut, ArchiveKind.ZIP) == [b"1", UNSUPPORTED, CORRUPT]


@pytest.mark.parametrize("flip", [1, 0x80])
def test_a_zip_whose_directory_is_misplaced_gives_all_and_one_failure(flip: int) -> None:
    data = bytearray(zip_of(FEW))
    data[-6] ^= flip
    assert contents(bytes(data), ArchiveKind.ZIP) == [content for _, content in FEW] + [CORRUPT]


def test_a_damaged_header_in_a_tar_loses_nothing_in_silence() -> None:
    data = bytearray(tar_of(FEW))
    at = data.index(b"b.png")
    data[at] ^= 1
    first, last = members(bytes(data), ArchiveKind.TAR)
    assert first.content == FEW[0][1]
    assert last.name == URI
    assert "checksum" in last.content.detail


def test_two_tars_one_behind_the_other_lose_nothing_in_silence() -> None:
    assert contents(tar_of(FEW) * 2, ArchiveKind.TAR) == [content for _, content in FEW] + [CORRUPT]


@pytest.mark.parametrize("offset", [0, 8, 30])
def test_a_damaged_record_costs_itself_alone(offset: int) -> None:
    data = tfrecord_of(FEW)
    second = struct.unpack_from("<Q", data)[0] + 16
    found = members(flipped(data, second + offset), ArchiveKind.TFRECORD)
    assert [found[0].content, found[2].content] == [FEW[0][1], FEW[2][1]]
    assert found[1].name == (f"{URI}!record-1" if offset == 30 else f"{URI}!record-at-{second}")
    assert found[1].content.code is CORRUPT
    assert f"the record at byte {second:,} is damaged" in found[1].content.detail


def test_records_without_a_name_behind_damage_have_no_number_of_another() -> None:
    column = Column(packed.ENCODED, "bytes", nullable=False, description="")
    one = encode_records((column,), {packed.ENCODED: [b"x" * 50]})
    data = one * 2 + bytes(2**20) + one * 2
    found = members(data, ArchiveKind.TFRECORD)
    ends = [2 * len(one), 2 * len(one) + 2**20, 3 * len(one) + 2**20]
    names = ["record-0", "record-1", *(f"record-at-{end}" for end in ends)]
    assert [member.name for member in found] == [f"{URI}!{name}" for name in names]


def test_names_of_damage_are_no_names_of_images() -> None:
    start = len(tfrecord_of([(b"record-at-000", b"1")]))
    images = [(b"record-at-%03d" % start, b"1"), (b"b.png", b"2"), (b"record-at-%03d" % start, b"3")]
    found = members(flipped(tfrecord_of(images), start), ArchiveKind.TFRECORD)
    assert len(str(start)) == 3
    assert [member.name.split("!")[1] for member in found] == [
        f"record-at-{start}{suffix}" for suffix in ("", "#2", "#3")
    ]


def test_a_zip_whose_directory_is_damaged_gives_what_came_before() -> None:
    data = bytearray(zip_of(FEW))
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    data[second] ^= 1
    assert contents(bytes(data), ArchiveKind.ZIP) == [FEW[0][1], CORRUPT]


def test_a_zip_whose_count_is_wrong_says_so() -> None:
    data = bytearray(zip_of(FEW))
    data[-14:-10] = b"\7\0\7\0"
    *_, last = members(bytes(data), ArchiveKind.ZIP)
    assert "states 7 members but has 3" in last.content.detail


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes_never_crash_and_change_nothing_unnoticed(kind: ArchiveKind) -> None:
    dice = random.Random(f"seed {kind}")
    data = WRITERS[kind](FEW)
    originals = {content for _, content in FEW}
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(dice.choice((1, 1, 2, 20))):
            damaged[dice.randrange(len(data))] = dice.randrange(256)
        file = MeteredFile(damaged)
        found = list(read_members(file, kind, name=URI))
        assert file.bytes_read <= 4 * len(data)
        archive_kind("x", bytes(damaged[:HEAD_BYTES]))
        assert found
        assert len({member.name for member in found}) == len(found)
        assert all(member.name != URI for member in found[:-1])
        whole = {member.content for member in found if isinstance(member.content, bytes)}
        # A tar has no checksum of contents, and a gzip's comes last.
        assert whole <= originals or kind is ArchiveKind.TAR or found[-1].name == URI


@given(st.sampled_from(KINDS), st.binary(max_size=3000))
@settings(deadline=None)
def test_any_bytes_are_read_to_an_end(kind: ArchiveKind, data: bytes) -> None:
    assert members(data, kind)


# ---- archives made to explode


def peak_of(read: Callable[[], list]) -> tuple[list, int]:
    tracemalloc.start()
    try:
        return read(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_member_that_inflates_to_more_than_it_says_is_stopped_at_the_cap() -> None:
    data = forged_zip(
        [
            {"name": b"liar", "content": bytes(5 * MAX_BYTES), "size": 100},
            {"name": b"good", "content": b"good"},
        ]
    )
    found, peak = peak_of(lambda: contents(data, ArchiveKind.ZIP))
    assert found == [TOO_LARGE, b"good"]
    assert peak < 3 * MAX_BYTES


@pytest.mark.parametrize("kind", [ArchiveKind.TAR, ArchiveKind.TAR_GZ])
def test_a_large_member_of_a_tar_is_passed_over(kind: ArchiveKind) -> None:
    data = WRITERS[kind]([(b"large", bytes(MAX_BYTES + 1)), (b"good", b"good")])
    found, peak = peak_of(lambda: contents(data, kind))
    assert found == [TOO_LARGE, b"good"]
    assert peak < MAX_BYTES


def test_a_large_record_is_passed_over() -> None:
    data = tfrecord_of([(b"large", bytes(MAX_BYTES + 2**17)), (b"good", b"good")])
    found, peak = peak_of(lambda: contents(data, ArchiveKind.TFRECORD))
    assert found == [TOO_LARGE, b"good"]
    assert peak < MAX_BYTES


def test_a_large_image_in_a_record_is_too_large() -> None:
    assert contents(tfrecord_of([(b"x", bytes(MAX_BYTES + 1))]), ArchiveKind.TFRECORD) == [TOO_LARGE]


def test_a_tar_that_explodes_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflation, "FREE_BYTES", 2**23)
    files = [(b"good", b"good"), (b"bomb", bytes(2**26)), (b"last", b"last")]
    data = gzipped(tar_of(files))
    found, peak = peak_of(lambda: members(data, ArchiveKind.TAR_GZ))
    assert [member.name for member in found] == [f"{URI}!good", URI]
    assert found[1].content.code is TOO_LARGE
    assert peak < 2**23


def test_records_that_explode_are_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflation, "FREE_BYTES", 2**23)
    data = gzipped(tfrecord_of([(b"good", b"good"), (b"bomb", bytes(2**25)), (b"last", b"last")]))
    found = members(data, ArchiveKind.TFRECORD_GZ)
    assert [member.name for member in found] == [f"{URI}!good", URI]
    assert found[1].content.code is TOO_LARGE


def test_a_zip_that_explodes_is_read_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflation, "FREE_BYTES", 2**23)
    files = [(b"%d" % number, bytes(2**22)) for number in range(10)]
    found = contents(zip_of(files), ArchiveKind.ZIP)
    assert found == [bytes(2**22)] * 2 + [TOO_LARGE]
    cut = zip_of(files)
    assert contents(cut[: cut.index(b"PK\1\2")], ArchiveKind.ZIP) == found


def test_paper_that_packs_well_is_no_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflation, "FREE_BYTES", 0)
    dice = np.random.default_rng(0)
    files = [
        (b"%d.bmp" % number, b"BM" + dice.integers(250, 256, 2**18, np.uint8).tobytes())
        for number in range(4)
    ]
    assert contents(gzipped(tar_of(files)), ArchiveKind.TAR_GZ) == [content for _, content in files]


@pytest.mark.slow
def test_entries_that_share_their_bytes_are_not_read() -> None:
    good = {"name": b"good", "content": b"good"}
    kernel = {"name": b"k", "content": bytes(2**20), "at": forged_zip([good]).index(b"PK\1\2")}
    data = forged_zip([good, kernel, *[kernel | {"local": False}] * 500])
    file = MeteredFile(data)
    found = list(read_members(file, ArchiveKind.ZIP, name=URI))
    assert [member.content for member in found[:1]] == [b"good"]
    assert {member.content.code for member in found[1:]} == {CORRUPT}
    assert len(found) == 502
    # The directory is read twice; the shared bytes, 500 times a kilobyte, never.
    assert file.bytes_read < 4 * len(data)


def test_entries_that_quote_the_next_header_are_not_read() -> None:
    inner = forged_zip([{"name": b"b", "content": b"inner"}])
    local = inner[: inner.index(b"PK\1\2")]
    entries = [
        {"name": b"a", "content": local, "method": 0, "packed": len(local), "crc": 0},
        {"name": b"b", "content": b"inner", "at": 31, "local": False},
    ]
    assert contents(forged_zip(entries), ArchiveKind.ZIP) == [CORRUPT, CORRUPT]


def test_members_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_members, "MAX_MEMBERS", 2)
    for kind in KINDS:
        *before, last = members(WRITERS[kind](FEW), kind)
        assert [member.content for member in before] == [content for _, content in FEW[:2]]
        assert (last.name, last.content.code) == (URI, TOO_LARGE)


def test_a_directory_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_zip, "MAX_ENTRIES", 2)
    assert contents(zip_of(FEW), ArchiveKind.ZIP)[2] is TOO_LARGE


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_that_says_it_is_huge_is_not_read(kind: bytes) -> None:
    data = gzipped(tar_header(b"x", 2**32, kind) + bytes(2**20))
    complaint, peak = peak_of(lambda: only_failure(data, ArchiveKind.TAR_GZ))
    assert "a header of" in complaint
    assert peak < 2**22


def test_headers_without_end_are_read_in_a_row() -> None:
    longname = tar_header(b"L", 3, b"L") + b"abc".ljust(512, b"\0")
    found = members(longname * 5000 + tar_header(b"x", 0) + TAR_END, ArchiveKind.TAR)
    assert found == [Member(f"{URI}!abc", b"")]


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"7" * 12, b"12x4".ljust(12)])
def test_sizes_that_cannot_be_are_failures(size: bytes) -> None:
    assert CORRUPT in only_failure(tar_header(b"x", size) + bytes(2048), ArchiveKind.TAR)


@pytest.mark.parametrize(
    "record",
    [
        b"9 size=x\n",
        b"0 a=b\n",
        b"5 a\n",
        b"99 a=b\n",
        b"x a=b\n",
        b"6 a=bc",
        b"27 size=99999999999999999999\n",
    ],
)
def test_pax_headers_that_cannot_be_are_failures(record: bytes) -> None:
    data = tar_header(b"pax", len(record), b"x") + record.ljust(512, b"\0") + tar_header(b"x", 0) + TAR_END
    assert CORRUPT in only_failure(data, ArchiveKind.TAR)


# ---- packed records


def test_packed_records_keep_names_and_labels() -> None:
    data = tfrecord_of(
        [(b"file:///in/3/a%20b.png", b"a"), (b"gs://b/c.png", b"b"), (b"d.png", b"d")],
        labels=[3, -1, NOT_A_DIGIT],
    )
    assert members(data, ArchiveKind.TFRECORD) == [
        Member(f"{URI}!file:///in/3/a%2520b.png", b"a", 3),
        Member(f"{URI}!gs://b/c.png", b"b", NO_LABEL),
        Member(f"{URI}!d.png", b"d", NO_LABEL),
    ]


@pytest.mark.parametrize(
    ("column", "value", "detail"),
    [
        (Column("image/raw", "bytes", nullable=False, description=""), b"x", "without image/encoded"),
        (Column(packed.ENCODED, "integer", nullable=False, description=""), 1, "without image/encoded"),
        (
            Column(packed.LABEL, "integer", nullable=False, description=""),
            11,
            "image/label is 11, not a digit",
        ),
        (Column(packed.LABEL, "bytes", nullable=False, description=""), b"3", "not a digit"),
    ],
)
def test_other_records_are_failures(column: Column, value: object, detail: str) -> None:
    encoded = Column(packed.ENCODED, "bytes", nullable=False, description="")
    columns = (column,) if column.name != packed.LABEL else (encoded, column)
    data = encode_records(columns, {packed.ENCODED: [b"x"]} | {column.name: [value]})
    (member,) = members(data, ArchiveKind.TFRECORD)
    assert member.name == f"{URI}!record-0"
    assert member.content.code is UNSUPPORTED
    assert detail in member.content.detail


def test_records_of_no_message_are_failures() -> None:
    many_fields = b"\x0a\xc0\x84\x3d" + b"\x0a\x00" * 500_000
    payloads = [b"no message", b"\x0a\xff", b"\x0a\x02\x0a\xff", many_fields, b"\x0b", b"", b"\xff" * 11]
    data = file_of(payloads)
    found, peak = peak_of(lambda: contents(data, ArchiveKind.TFRECORD))
    assert found == [UNSUPPORTED] * len(payloads)
    # Half a million fields would take 80 MB as objects: reading stops at the ten thousandth.
    assert peak < 8 * len(many_fields)
