"""Folders with poses.npy."""

import io

import numpy as np
import pytest
from samples.capture_files import write_images, write_poses

from geolrm import InputError, load_capture


def test_images_meet_their_poses_in_natural_order(tmp_path, photos, cameras):
    capture = load_capture(write_poses(tmp_path, photos, cameras))
    assert capture.names[9:12] == ["9.png", "10.png", "11.png"]
    np.testing.assert_array_equal(np.stack(capture.images), photos)
    np.testing.assert_array_equal(capture.cameras.c2w, cameras.c2w)
    np.testing.assert_array_equal(capture.cameras.intrinsics, cameras.intrinsics)
    assert capture.notes == ("images in natural order: 0.png is pose 0",)


def test_what_is_left_out_is_assumed_and_said(tmp_path, photos, cameras):
    folder = write_poses(tmp_path, photos[:, :48], cameras, intrinsics=False)
    np.save(folder / "poses.npy", cameras.c2w[:, :3].astype(np.float32))
    capture = load_capture(folder)
    np.testing.assert_allclose(capture.cameras.c2w, cameras.c2w, atol=1e-6)
    focal = 0.5 / np.tan(np.deg2rad(25))
    np.testing.assert_allclose(
        capture.cameras.intrinsics[3], [[focal, 0, 0.5], [0, focal * 64 / 48, 0.5], [0, 0, 1]]
    )
    assert capture.notes[1] == "no intrinsics.npy: a field of view of 50 degrees is assumed"


def test_images_may_be_in_a_folder_of_their_own(tmp_path, photos, cameras):
    write_images(tmp_path / "images", photos)
    np.save(tmp_path / "poses.npy", cameras.c2w)
    np.save(tmp_path / "intrinsics.npy", cameras.intrinsics[0])
    capture = load_capture(tmp_path)
    assert capture.names[0] == "images/0.png" and len(capture) == 12
    np.testing.assert_array_equal(capture.cameras.intrinsics[7], cameras.intrinsics[0])


def header(shape, dtype="<f8"):
    """A file that states an array and holds 64 bytes."""
    file = io.BytesIO()
    fields = {"shape": shape, "fortran_order": False, "descr": dtype}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue() + bytes(64)


def stored(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            stored(np.zeros((12, 3, 3))),
            r"holds float64 \[12, 3, 3\]; it must be numbers \[V, 4, 4\]",
        ),
        (stored(np.zeros(12)), r"holds float64 \[12\]; it must be numbers"),
        (stored(np.zeros((12, 4, 4), complex)), r"holds complex128 \[12, 4, 4\]; it must be"),
        (stored(np.array([[{}] * 4] * 4), allow_pickle=True), r"holds object \[4, 4\]"),
        (header((9999, 4, 4)), "states an array of 1279872 bytes, but 64 follow"),
        (header((1 << 40, 4, 4)), "lists 1,099,511,627,776 frames; at most 10,000 are read"),
        (header((-1, 4, 4)), "states an array of -128 bytes, but 64 follow"),
        (
            stored(np.zeros((0, 4, 4))),
            r"float64 \[0, 4, 4\]; it must be numbers .*, at least one matrix",
        ),
        (stored(np.zeros((12, 4, 4)))[:-8], "bytes, but 1528 follow; it is damaged"),
        (b"", "is no .npy file that can be read"),
        (b"\x93NUMPY\x03\x00", "is .npy of version 3.0; save a plain array"),
        (b"\x93NUMPY\x01\x00\x10\x00__import__('os')", "is no .npy file that can be read"),
        (stored(np.zeros((5, 4, 4))), "has 12 images but 5 poses in poses.npy; there must be one"),
        (stored(np.zeros((12, 4, 4))), "poses.npy: pose 0 has last row"),
    ],
)
def test_other_poses_are_refused(tmp_path, photos, cameras, content, message):
    folder = write_poses(tmp_path, photos, cameras)
    (folder / "poses.npy").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_capture(folder)


def test_other_intrinsics_are_refused(tmp_path, photos, cameras):
    folder = write_poses(tmp_path, photos, cameras)
    np.save(folder / "intrinsics.npy", cameras.intrinsics[:5])
    with pytest.raises(InputError, match="holds 5 matrices for 12 images; it must hold one, or"):
        load_capture(folder)
    np.save(folder / "intrinsics.npy", cameras.intrinsics * [[64], [64], [1]])
    with pytest.raises(InputError, match="intrinsics 0 have fx = 68.6242, .* look like pixels"):
        load_capture(folder)
