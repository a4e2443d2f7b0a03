import io
import struct

import numpy as np
import pytest
from PIL import Image

from geolrm import InputError
from geolrm.engine.formats import webp_planes


@pytest.mark.parametrize("channels", [3, 4])
def test_planes_come_back_bit_for_bit(channels):
    plane = np.random.default_rng(0).integers(0, 256, (7, 13, channels), np.uint8)
    plane[:3, :, -1] = 0  # colours below an alpha of 0 count, too
    content = webp_planes.encode(plane)
    assert webp_planes.size_of(content, "it") == (13, 7)
    read = webp_planes.decode(content, "it")
    np.testing.assert_array_equal(read[:, :, :channels], plane)
    assert channels == 4 or (read[:, :, 3] == 255).all()
    assert webp_planes.encode(plane) == content


def image(kind="WEBP", frames=1, **options):
    rng = np.random.default_rng(0)
    made = [Image.fromarray(rng.integers(0, 256, (40, 40, 4), np.uint8)) for _ in range(frames)]
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": made[1:]} if frames > 1 else {}
    made[0].save(buffer, kind, **options, **more)
    return buffer.getvalue()


LOSSLESS = image(lossless=True, exact=True)
EXTENDED = b"RIFF" + struct.pack("<I", len(LOSSLESS) + 10) + b"WEBPVP8X"
EXTENDED += struct.pack("<II", 10, 16) + bytes([39, 0, 0, 39, 0, 0]) + LOSSLESS[12:]
REFUSED = [
    (b"", "is no WebP image; only those are read"),
    (image("PNG"), "is no WebP image; only those are read"),
    (image(quality=80), "is a lossy, animated or damaged WebP image; lossless ones are read"),
    (image(frames=2, lossless=True), "is a lossy, animated or damaged WebP image"),
    (EXTENDED[:30] + b"JUNK\0\0\0\0" * 16 + LOSSLESS[12:], "is a lossy, animated or damaged WebP"),
    (LOSSLESS[:20] + b"\0" + LOSSLESS[21:], "is a lossy, animated or damaged WebP image"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_other_images_are_refused(content, message):
    with pytest.raises(InputError, match=message):
        webp_planes.size_of(content, "it")


def test_the_extended_layout_is_read_and_must_agree_with_itself():
    assert webp_planes.size_of(EXTENDED, "it") == (40, 40)
    np.testing.assert_array_equal(
        webp_planes.decode(EXTENDED, "it"), webp_planes.decode(LOSSLESS, "it")
    )
    with pytest.raises(InputError, match="it (cannot be decoded|states two sizes)"):
        webp_planes.decode(EXTENDED.replace(bytes([39, 0, 0]), bytes([38, 0, 0]), 1), "it")


def test_an_image_that_pillow_calls_a_bomb_is_refused():
    """Of 268 million pixels, which its size alone would allow."""
    side = 16383
    packed = ((side - 1) | (side - 1) << 14).to_bytes(4, "little")
    body = b"VP8L" + struct.pack("<I", 32) + b"\x2f" + packed + bytes(27)
    content = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    assert webp_planes.size_of(content, "it") == (side, side)
    with pytest.raises(InputError, match="it cannot be decoded: Image size"):
        webp_planes.decode(content, "it")


def test_images_that_are_cut_off_are_refused():
    with pytest.raises(InputError, match="it cannot be decoded: "):
        webp_planes.decode(LOSSLESS[: len(LOSSLESS) // 2], "it")
