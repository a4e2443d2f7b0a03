"""Batches, and what they share with serving."""

import io
import stat
import struct
import zipfile

from errors.case import Case

from geolrm import InputError
from geolrm.fleet.archives import ZipLimits, extract_capture


def zipped(*files, method=zipfile.ZIP_STORED, change=None, kind=None, **limits):
    """Unpack a zip file of contents by name, whose bytes ``change`` may damage."""

    def trigger(place):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in files:
                info = zipfile.ZipInfo(name)
                info.external_attr = (kind or 0) << 16
                archive.writestr(info, content, compress_type=method)
        content = bytearray(file.getvalue())
        if change is not None:
            change(content)
        return extract_capture(io.BytesIO(content), place.tmp, ZipLimits(**limits), "a.zip")

    return trigger


def stated(offset, value):
    """Change what the list of files states of the first one."""

    def change(content):
        at = content.index(b"PK\x01\x02") + offset
        content[at : at + 4] = struct.pack("<I", value)

    return change


def nothing(content):
    content[:] = b"no zip"


def onto_a_file(place):
    (place.tmp / "b").write_text("")
    return zipped(("b", b"x"))(place)


AGAIN = "; pack the capture again"

CASES = [
    "Zip files",
    Case("a.zip is no zip file that can be read: …" + AGAIN,
         "Damaged, cut off or of another kind; the reason follows.",
         zipped(change=nothing), InputError),
    Case("a.zip cannot be unpacked: File exists",
         "The system's reason follows.", onto_a_file, InputError),
    Case("a.zip lists more than 2 files; leave out what does not belong to the capture",
         "20,000 at most.", zipped(*[(name, b"") for name in "abc"], entries=2), InputError),
    Case("a.zip holds the path '../a', which leads out of its folder" + AGAIN,
         "Also names that not every system allows.", zipped(("../a", b"")), InputError),
    Case("a.zip holds no files; pack a folder with images and their poses", "It is empty.",
         zipped(), InputError),
    Case("a.zip holds 'a', which is a link or no file; pack the files themselves",
         "Links could lead anywhere.", zipped(("a", b"b"), kind=stat.S_IFLNK), InputError),
    Case("a.zip holds 'a', which is encrypted or packed by a method other than deflate; pack the "
         "capture again, as an ordinary zip file", "Other methods take much memory.",
         zipped(("a", b"b"), method=zipfile.ZIP_LZMA), InputError),
    Case("a.zip holds 'A' twice" + AGAIN, "Letters' case aside, as some systems see it.",
         zipped(("a", b""), ("A", b"")), InputError),
    Case("a.zip holds 'a' of 9 bytes; at most 8 are read: make it smaller", "512 MiB at most.",
         zipped(("a", b"x" * 9), file_bytes=8), InputError),
    Case("a.zip holds 'a', … bytes that become 2,097,152; at most 100 times as many are read: "
         "store it as an image", "A bomb, or images that are no images.",
         zipped(("a", bytes(2 << 20)), method=zipfile.ZIP_DEFLATED), InputError),
    Case("a.zip holds 9 bytes; at most 8 are read: use fewer or smaller images",
         "8 GiB of all files at most.",
         zipped(("a", b"x" * 4), ("b", b"x" * 5), total_bytes=8), InputError),
    Case("a.zip states more bytes than it has" + AGAIN, "Files would share their bytes.",
         zipped(("a", b"x"), change=stated(20, 500)), InputError),
    Case("a.zip holds 'a', which is not the 100 bytes that it states" + AGAIN, "It is damaged.",
         zipped(("a", b"x" * 9), method=zipfile.ZIP_DEFLATED, change=stated(24, 100)), InputError),
]  # fmt: skip
