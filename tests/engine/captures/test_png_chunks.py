import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from geolrm.engine.captures import png_chunks
from geolrm.engine.captures.images import ORIENTATION, ImageReader


def chunk(kind, content=b""):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGBA", (6, 4)).save(path)
    return path


def with_chunk(path, kind, content):
    """Put a chunk behind the pixels, where most programs put none."""
    path.write_bytes(path.read_bytes()[:-12] + chunk(kind, content) + chunk(b"IEND"))


def test_pixels_and_colours_are_plain(plain):
    assert png_chunks.is_plain(plain)
    with_chunk(plain, b"tIME", b"\x07\xea\x0b\x1d\x00\x00\x00")
    assert png_chunks.is_plain(plain)


@pytest.mark.parametrize("kind", [b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"abcd"])
def test_what_may_say_more_is_not(plain, kind):
    with_chunk(plain, kind, b"")
    assert not png_chunks.is_plain(plain)


def test_other_and_cut_off_files_are_not(plain, tmp_path):
    whole = plain.read_bytes()
    for content in (b"", whole[:20], whole[:-12], b"\xff\xd8\xff" + whole):
        (tmp_path / "b.png").write_bytes(content)
        assert not png_chunks.is_plain(tmp_path / "b.png")


def test_no_file_is_looked_at_for_ever(plain, monkeypatch):
    monkeypatch.setattr(png_chunks, "MOST_CHUNKS", 3)
    assert png_chunks.is_plain(plain)  # its header, its pixels, its end
    plain.write_bytes(plain.read_bytes()[:-12] + 2 * chunk(b"IDAT") + chunk(b"IEND"))
    assert not png_chunks.is_plain(plain)


def test_an_image_is_turned_as_exif_behind_its_pixels_says(plain):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    with_chunk(plain, b"eXIf", exif.tobytes()[6:])
    reader = ImageReader()
    assert reader.measure(plain, "a", (4, 6)).turn == "ROTATE_270" and reader.turned == 1


def test_headers_of_plain_images_are_read_without_their_pixels(plain, monkeypatch):
    def load(image):
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    assert ImageReader().measure(plain, "a").shape == (4, 6, 4)
