"""NumPy files that hold something else are refused, each in one sentence."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from geolrm.engine.captures import arrays
from geolrm.engine.captures.arrays import read_matrices, read_points, read_table
from geolrm.engine.errors import InputError

POINTS, VISIBLE = np.zeros((4, 3), np.float16), np.ones(4, bool)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"visible": VISIBLE}, r"lacks an array: .*points.npy"),
        ({"points": POINTS, "visible": VISIBLE[:3]}, r"points of shape \(4, 3\) and visible of sh"),
        ({"points": POINTS[:, :2], "visible": VISIBLE}, r"they must be \[N, 3\] and \[N\]"),
        ({"points": POINTS.astype(int), "visible": VISIBLE}, "points has dtype int64; it must hol"),
        ({"points": POINTS, "visible": VISIBLE.astype(float)}, "visible has dtype float64; it mus"),
        ({"points": POINTS, "visible": ~VISIBLE}, "holds no visible point; sample the surface aga"),
        ({"points": POINTS + 1, "visible": VISIBLE}, "holds points outside the object cube"),
        ({"points": POINTS * np.float16("nan"), "visible": VISIBLE}, "holds points outside the o"),
        ({"points": np.array([{}], object), "visible": VISIBLE}, "points has dtype object; it mus"),
        ({"points": POINTS[:0], "visible": VISIBLE[:0]}, "holds no visible point; sample the surf"),
    ],
)  # fmt: skip
def test_refuses_other_points(tmp_path, stored, message):
    np.savez_compressed(tmp_path / "points.npz", **stored)
    with pytest.raises(InputError, match=message):
        read_points(tmp_path / "points.npz")


def test_a_header_that_promises_more_than_there_is_allocates_nothing(tmp_path):
    stream = io.BytesIO()
    header = {"descr": "<f2", "fortran_order": False, "shape": (10**15, 3)}
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(tmp_path / "points.npz", "w") as archive:
        archive.writestr("points.npy", stream.getvalue() + bytes(600))
        archive.writestr("visible.npy", b"no array")
    with pytest.raises(
        InputError, match="points states an array of 6000000000000000 bytes, but 600 follow"
    ):
        read_points(tmp_path / "points.npz")


def test_only_visible_points_count(tmp_path):
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (10, 3)).astype(np.float16)
    visible = np.arange(10) % 3 == 0
    for stored, expected in (({"visible": visible}, points[visible]), ({}, points)):
        np.savez(tmp_path / "points.npz", points=points, **stored)
        np.testing.assert_array_equal(read_points(tmp_path / "points.npz"), expected)


def test_a_large_array_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST_ARRAY", 10_000)
    np.savez_compressed(tmp_path / "points.npz", points=np.zeros((1000, 3), np.float32))
    message = "points has 12128 bytes in 112; at most 10000 of such are read: store less, or with"
    with pytest.raises(InputError, match=message):
        read_points(tmp_path / "points.npz")


def test_a_name_as_long_as_the_file_is_not_quoted(tmp_path):
    """The name before an array states another length than the list of names does."""
    np.savez(tmp_path / "points.npz", points=np.zeros((400, 3), np.float32))
    content = bytearray((tmp_path / "points.npz").read_bytes())
    content[26:28] = (4000).to_bytes(2, "little")
    (tmp_path / "points.npz").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read: File name in directory") as refused:
        read_points(tmp_path / "points.npz")
    assert len(str(refused.value)) < 400


def test_a_name_that_is_no_text_is_refused(tmp_path):
    """It says that it is UTF-8, which zipfile believes."""
    np.savez(tmp_path / "points.npz", points=np.zeros((4, 3), np.float32))
    content = bytearray((tmp_path / "points.npz").read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 9] |= 0x08  # bit 11 of the flags
    content[entry + 46] = 0xBA
    (tmp_path / "points.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"points.npz' cannot be read: 'utf-8' codec can't deco"):
        read_points(tmp_path / "points.npz")


def test_bytes_that_are_stated_and_not_there_take_no_memory(tmp_path):
    np.savez(tmp_path / "points.npz", points=np.zeros((4, 3), np.float32))
    content = bytearray((tmp_path / "points.npz").read_bytes())
    for start, place in ((b"PK\x03\x04", 18), (b"PK\x01\x02", 20)):
        at = content.index(start) + place
        content[at : at + 8] = (400_000_000).to_bytes(4, "little") * 2
    (tmp_path / "points.npz").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"points has 400000000 bytes in \d{3}; at most 16\d{6} "):
        read_points(tmp_path / "points.npz")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_an_empty_header_of_any_length_allocates_nothing(tmp_path):
    np.savez(tmp_path / "points.npz", points=np.zeros((10**15, 0), np.float32))
    with pytest.raises(InputError, match=r"points of shape \(1000000000000000, 0\) and visible"):
        read_points(tmp_path / "points.npz")


def test_a_newer_header_is_refused(tmp_path):
    with (tmp_path / "poses.npy").open("wb") as file:
        np.lib.format.write_array(file, np.zeros((2, 4, 4)), version=(3, 0))
    with pytest.raises(InputError, match=r"poses.npy' is .npy of version 3.0; save a plain array"):
        read_matrices(tmp_path / "poses.npy", ((4, 4),))


@pytest.mark.parametrize(("read", "shape"), [(read_matrices, (4, 4)), (read_table, (17,))])
def test_frames_are_limited_before_any_is_read(tmp_path, read, shape):
    """A sparse file states and holds gigabytes, and takes no room on the disk."""
    path, wanted = tmp_path / "poses.npy", ((4, 4),) if read is read_matrices else 17
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 30, *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 8 * (1 << 30) * np.prod(shape, dtype=int))
    message = "poses.npy lists 1,073,741,824 frames; at most 10,000 are read: leave some out$"
    with pytest.raises(InputError, match=message):
        read(path, wanted)
    np.save(path, np.zeros((10_000, *shape)))
    assert len(read(path, wanted)) == 10_000
