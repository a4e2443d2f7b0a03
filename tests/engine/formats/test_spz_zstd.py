import gzip
import struct

import numpy as np
import pytest
from samples.gaussians import random_gaussians
from samples.splat_files import spz4, zstd

from geolrm import Gaussians, InputError
from geolrm.engine.formats.splat_files import decode, encode


@pytest.mark.parametrize("sh", [None, 4, 9, 16])
@pytest.mark.parametrize("extension", [b"", struct.pack("<II3s", 0xADBE0002, 3, b"abc")])
def test_the_streams_hold_what_version_3_holds(sh, extension):
    scene = random_gaussians(sh)
    content = spz4(scene, extension=extension)
    assert content[:8] == struct.pack("<4sI", b"NGSP", 4)
    read, same = decode(content, ".spz"), decode(encode(scene, ".spz"), ".spz")
    for name in ("means", "opacities", "scales", "quats", "colors" if sh is None else "sh"):
        np.testing.assert_array_equal(getattr(read, name), getattr(same, name))


@pytest.mark.parametrize("sh", [None, 4, 9, 16])
@pytest.mark.parametrize("up", ["y", "z"])
def test_the_streams_that_are_written_hold_what_version_3_holds(sh, up):
    scene = random_gaussians(sh)
    content = encode(scene, ".spz", spz_version=4, up=up)
    same = gzip.decompress(encode(scene, ".spz", up=up))
    head = struct.unpack_from("<4sIIBBBBI12s", content)
    streams = 5 if sh is None else 6
    assert head[:3] == (b"NGSP", 4, len(scene)) and head[3:6] == tuple(same[12:15])
    assert head[6:] == (streams, 32, bytes(12))
    at, plain = 32 + 16 * streams, b""
    for index in range(streams):
        packed, size = struct.unpack_from("<QQ", content, 32 + 16 * index)
        stream = zstd.decompress(content[at : at + packed])
        assert len(stream) == size
        at, plain = at + packed, plain + stream
    assert at == len(content) and plain == same[16:]


def test_no_splats_are_a_file_of_version_4_too():
    empty = random_gaussians().select(np.zeros(50, bool))
    assert len(decode(encode(empty, ".spz", spz_version=4), ".spz")) == 0


def test_four_splats_of_the_layout_written_by_hand(tmp_path):
    """Corners of a square in the plane of x and y, y up: 12 bits of fraction make 4096 a unit."""
    corners = [(-4096, -4096, 0), (4096, -4096, 0), (-4096, 4096, 0), (4096, 4096, 1)]
    means = b"".join(v.to_bytes(3, "little", signed=True) for corner in corners for v in corner)
    # Rotations: w is the largest component (place 3), the others are 0.
    plain = [means, bytes([0, 51, 102, 255]), bytes([128] * 12), bytes([160] * 12),
             struct.pack("<I", 3 << 30) * 4]  # fmt: skip
    packed = [zstd.compress(stream) for stream in plain]
    table = b"".join(struct.pack("<QQ", len(a), len(b)) for a, b in zip(packed, plain, strict=True))
    head = struct.pack("<4sIIBBBBI12x", b"NGSP", 4, 4, 0, 12, 0, 5, 32)
    (tmp_path / "a.spz").write_bytes(head + table + b"".join(packed))
    read = Gaussians.load(tmp_path / "a.spz", up="z")  # the numbers as they are
    np.testing.assert_array_equal(
        read.means, np.float32([(-1, -1, 0), (1, -1, 0), (-1, 1, 0), (1, 1, 1 / 4096)])
    )
    np.testing.assert_allclose(read.opacities, [0, 0.2, 0.4, 1], atol=1e-7)
    np.testing.assert_allclose(read.scales, 1)  # 160 / 16 - 10 = 0 = log 1
    np.testing.assert_array_equal(read.quats, [[1, 0, 0, 0]] * 4)
    dc = (128 / 255 - 0.5) / 0.15
    np.testing.assert_allclose(read.colors, 0.5 + 0.28209479 * dc, atol=1e-6)


def test_no_splats_are_read():
    assert len(decode(spz4(random_gaussians().select([])), ".spz")) == 0


def fields(**changes):
    return lambda header, sizes, packed: header.update(changes)


def size(index, place, value):
    def change(header, sizes, packed):
        sizes[index][place] = value

    return change


def stream(index, content):
    """Another compressed stream, with its size."""

    def change(header, sizes, packed):
        packed[index] = content
        sizes[index][0] = len(content)

    return change


def unbounded_window(plain):
    """A stream that asks for a window of 128 MB; its plain size is not stated."""
    options = {zstd.CompressionParameter.window_log: 27,
               zstd.CompressionParameter.content_size_flag: 0}  # fmt: skip
    packer = zstd.ZstdCompressor(options=options)
    return packer.compress(plain) + packer.flush()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (fields(version=5), "is SPZ of version 5; versions 2 to 4 are read"),
        (fields(degree=4), "has harmonics of degree 4; at most 3 are read"),
        (fields(flags=8), "has 12 fraction bits, flags 0x8 and reserved 0"),
        (fields(count=2**32 - 1), "states 4,294,967,295 splats; at most 20,000,000 are read"),
        (fields(count=19_999_999), "states 19,999,999 splats, which are 399999980 bytes, but has"),
        (fields(count=51), "bytes that become 450 for stream 0, which must hold 459"),
        (fields(table=16), "states its table of streams at byte 16; it is damaged"),
        (fields(table=2**31), "states its table of streams at byte 2147483648; it is damaged"),
        (fields(streams=6), "has 6 streams; its splats need 5: it is damaged"),
        (size(0, 0, 2**60), "for stream 0, which must hold 450; it is truncated or damaged"),
        (size(2, 1, 149), "bytes that become 149 for stream 2, which must hold 150"),
        (stream(1, b"not compressed"), "stream 1 cannot be decompressed: "),
        (stream(1, zstd.compress(bytes(10**6))), "stream 1 does not hold the 50 bytes that its"),
        (stream(1, zstd.compress(bytes(49))), "stream 1 does not hold the 50 bytes that its"),
        (stream(1, zstd.compress(bytes(50)) * 2), "stream 1 does not hold the 50 bytes that its"),
        (stream(1, unbounded_window(bytes(50))), "stream 1 cannot be decompressed: .*[Mm]emory"),
    ],
)
def test_damaged_files_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        decode(spz4(random_gaussians(), change=change), ".spz")


def test_files_that_are_cut_or_too_long_are_refused():
    sound = spz4(random_gaussians())
    with pytest.raises(InputError, match="has 20 bytes, less than a header; it is truncated"):
        decode(sound[:20], ".spz")
    with pytest.raises(InputError, match="60 bytes, but its table of streams ends at 112; it is"):
        decode(sound[:60], ".spz")
    with pytest.raises(InputError, match="for stream 4, which must hold 200; it is truncated"):
        decode(sound[:-1], ".spz")
    with pytest.raises(InputError, match="has 3 bytes after its streams; it is damaged"):
        decode(sound + b"abc", ".spz")
    with pytest.raises(InputError, match="but its 50 splats take at most"):
        decode(sound + bytes(10**6), ".spz")
