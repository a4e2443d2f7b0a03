"""The chunks of a PNG file, without its pixels."""

import struct
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 10_000  # that are looked at; pixels come in far fewer
# All that says how pixels are coded and coloured, and nothing of how an image is to be turned.
PLAIN = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP",
    b"sBIT", b"bKGD", b"hIST", b"pHYs", b"tIME",
}  # fmt: skip


def is_plain(path: Path) -> bool:
    """Tell whether a file is a PNG without EXIF, XMP or other texts, wherever they may stand.

    Pillow decodes the whole image to find those that stand behind the pixels. False where the file
    is cut off, or has too many chunks to look at.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return False
        for _ in range(MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                return False
            size, kind = struct.unpack(">I4s", head)
            if kind not in PLAIN:
                return False
            if kind == b"IEND":
                return True
            file.seek(size + 4, 1)  # a checksum follows
    return False
