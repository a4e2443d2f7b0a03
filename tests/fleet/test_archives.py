"""Zip files: those of people are read, those of attackers refused before they take anything."""

import io
import resource
import stat
import struct
import sys
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm import InputError, load_capture
from geolrm.examples import capture_path
from geolrm.fleet.archives import ZipLimits, extract_capture


def zipped(files, method=zipfile.ZIP_DEFLATED):
    """A zip file of contents by name; a name may be a ZipInfo."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content, compress_type=method)
    file.seek(0)
    return file


def banana(prefix=""):
    folder = capture_path("banana")
    return zipped(
        (prefix + str(path.relative_to(folder)), path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )


def refusal(file, tmp_path, **limits):
    target = tmp_path / "inner"
    target.mkdir()
    with pytest.raises(InputError) as raised:
        extract_capture(file, target, ZipLimits(**limits), "a.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"inner"}
    return str(raised.value), [path for path in target.rglob("*") if path.is_file()]


@pytest.mark.parametrize("prefix", ["", "banana/", "a/b/"])
def test_a_capture_comes_out_as_it_went_in(tmp_path, prefix):
    found = extract_capture(banana(prefix), tmp_path)
    assert found == tmp_path / prefix
    originals = [p for p in capture_path("banana").rglob("*") if p.is_file()]
    for path in originals:
        assert (found / path.relative_to(capture_path("banana"))).read_bytes() == path.read_bytes()
    assert len([p for p in found.rglob("*") if p.is_file()]) == len(originals)
    assert load_capture(found).names == load_capture(capture_path("banana")).names


def test_what_macos_adds_is_left_out(tmp_path):
    file = zipped([("c/transforms.json", "{}"), ("__MACOSX/c/._transforms.json", "x")])
    assert extract_capture(file, tmp_path) == tmp_path / "c"
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_a_folder_of_a_model_alone_is_not_opened(tmp_path):
    assert extract_capture(zipped([("sparse/0/cameras.bin", b"")]), tmp_path) == tmp_path


OUT = "which leads out of its folder"
CHARACTER = "with a character that not every system allows"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../a", OUT), ("a/../../b", OUT), ("/etc/a", OUT), ("//a", OUT), (".", OUT),
        ("a/..", OUT), ("..\\a", CHARACTER), ("C:/a", CHARACTER), ("a\x1b[2Jb", CHARACTER),
        ("a\nb", CHARACTER), ("a\u202eb", CHARACTER), ("a?", CHARACTER),
        ("a ", "with a name that ends in a space or a full stop"),
        ("a./b", "with a name that ends in a space or a full stop"),
        ("c/Aux.png", "with a name that is a device of Windows"),
        ("com1/a.png", "with a name that is a device of Windows"),
        ("/".join("a" * 17), "deeper than 16 folders or with a name longer than 255 bytes"),
        ("ü" * 128, "deeper than 16 folders or with a name longer than 255 bytes"),
    ],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(tmp_path, path, reason):
    said, left = refusal(zipped([("good.txt", "x"), (path, "x")]), tmp_path)
    assert said == f"a.zip holds the path {path!r}, {reason}; pack the capture again"
    assert left == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_links_and_what_is_no_file_are_refused(tmp_path, kind):
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    said, left = refusal(zipped([("good", "x"), (info, "/etc/passwd")]), tmp_path)
    assert said == ("a.zip holds 'link', which is a link or no file; pack the files themselves")
    assert left == []


def test_other_methods_and_secrets_are_refused(tmp_path):
    rest = (
        "holds 'a', which is encrypted or packed by a method other than deflate; pack the capture "
        "again, as an ordinary zip file"
    )
    said, _ = refusal(zipped([("a", "x" * 99)], zipfile.ZIP_LZMA), tmp_path)
    assert said == f"a.zip {rest}"
    (tmp_path / "inner").rmdir()
    content = bytearray(zipped([("a", "x")]).getvalue())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert refusal(io.BytesIO(content), tmp_path)[0] == f"a.zip {rest}"


@pytest.mark.parametrize("names", [("a", "A"), ("a", "a/b"), ("a/b", "a"), ("ß", "SS")])
def test_names_that_collide_are_refused(tmp_path, names):
    said, left = refusal(zipped([(name, "x") for name in names]), tmp_path)
    assert said == f"a.zip holds {names[1]!r} twice; pack the capture again"
    assert left == []


def test_the_number_of_files_is_limited_before_they_are_listed(tmp_path):
    file = zipped([(f"{number}", "") for number in range(11)])
    said, left = refusal(file, tmp_path, entries=10)
    assert said == ("a.zip lists more than 10 files; leave out what does not belong to the capture")
    assert left == []


@pytest.mark.skipif(sys.platform != "linux", reason="measures the process by its peak")
def test_a_hundred_thousand_entries_take_no_memory(tmp_path):
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", *[0] * 9, 5, *[0] * 6) + b"aaaaa"
    directory = entry * 100_000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, len(directory), 0, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said, _ = refusal(io.BytesIO(directory + end), tmp_path, entries=1000)
    assert said.startswith("a.zip lists more than 1,000 files")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000  # kB


def test_bombs_are_refused_by_what_they_state(tmp_path):
    said, left = refusal(zipped([("a", bytes(4 << 20))]), tmp_path)
    packed = len(zlib.compress(bytes(4 << 20), wbits=-15))
    assert said == (
        f"a.zip holds 'a', {packed:,} bytes that become 4,194,304; at most 100 times as many are "
        "read: store it as an image"
    )
    assert left == []


def test_sizes_are_limited(tmp_path):
    file = zipped([("a", b"x" * 90), ("b", b"x" * 60)], zipfile.ZIP_STORED)
    said, _ = refusal(file, tmp_path, file_bytes=80)
    assert said == "a.zip holds 'a' of 90 bytes; at most 80 are read: make it smaller"
    (tmp_path / "inner").rmdir()
    said, _ = refusal(file, tmp_path, total_bytes=149)
    assert said == ("a.zip holds 150 bytes; at most 149 are read: use fewer or smaller images")
    target = tmp_path / "good"
    target.mkdir()
    extract_capture(file, target, ZipLimits(file_bytes=90, total_bytes=150))
    assert (target / "b").read_bytes() == b"x" * 60


def overlapping(count):
    """A bomb whose directory names the same bytes often."""
    content = zipped([("a0000", b"x" * 1000)], zipfile.ZIP_STORED).getvalue()
    start = content.index(b"PK\x01\x02")
    entry = content[start : content.index(b"PK\x05\x06")]
    entries = b"".join(entry.replace(b"a0000", b"a%04d" % i) for i in range(count))
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)
    return io.BytesIO(content[:start] + entries + end)


def test_files_that_share_their_bytes_are_refused(tmp_path):
    said, left = refusal(overlapping(50), tmp_path)
    assert said == "a.zip states more bytes than it has; pack the capture again"
    assert left == []


@pytest.mark.parametrize("stated", [10, 1000])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sizes_that_are_not_true_are_refused(tmp_path, stated, method):
    content = bytearray(zipped([("a", b"x" * 100)], method).getvalue())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", stated)
    assert refusal(io.BytesIO(content), tmp_path)[0].endswith("; pack the capture again")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_zip_file_is_refused(tmp_path, content):
    said, left = refusal(io.BytesIO(content), tmp_path)
    assert left == []
    assert said in (
        "a.zip is no zip file that can be read: File is not a zip file; pack the capture again",
        "a.zip holds no files; pack a folder with images and their poses",
    )


@given(st.data())
def test_damaged_files_are_read_or_refused_in_a_sentence(tmp_path_factory, data):
    content = bytearray(
        zipped([("c/a.txt", b"hello" * 20), ("c/b/", b""), ("c/d", b"x")]).getvalue()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    outer = tmp_path_factory.mktemp("outer")
    (outer / "inner").mkdir()
    try:
        extract_capture(io.BytesIO(content), outer / "inner")
    except InputError as error:
        assert len(str(error)) < 1000
    assert [path.name for path in outer.iterdir()] == ["inner"]
