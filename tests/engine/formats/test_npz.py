import io

import numpy as np
import pytest
from samples.gaussians import COUNT, random_gaussians

from geolrm import Gaussians, InputError
from geolrm.engine.formats.splat_files import decode, encode


@pytest.mark.parametrize("sh", [None, 1, 4, 9, 16])
def test_numpy_reads_the_arrays_under_their_names(sh):
    scene = random_gaussians(sh)
    with np.load(io.BytesIO(encode(scene, ".npz")), allow_pickle=False) as arrays:
        last = "colors" if sh is None else "sh"
        assert list(arrays) == ["means", "opacities", "scales", "quats", last]
        for name in arrays:
            assert arrays[name].dtype == np.float32
            np.testing.assert_array_equal(arrays[name], getattr(scene, name))


@pytest.mark.parametrize("sh", [None, 16])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f4"])
def test_files_of_numpy_are_read(sh, save, dtype):
    scene = random_gaussians(sh)
    names = ["means", "scales", "opacities", "quats", "colors" if sh is None else "sh"]
    buffer = io.BytesIO()
    save(buffer, **{name: getattr(scene, name).astype(dtype) for name in names}, note=np.arange(3))
    read = decode(buffer.getvalue(), ".npz")
    for name in names:
        np.testing.assert_allclose(getattr(read, name), getattr(scene, name), rtol=1e-6)


def test_axes_are_those_of_the_object_unless_told_otherwise(tmp_path):
    scene = random_gaussians()
    scene.save(tmp_path / "a.npz", up="y")
    with np.load(tmp_path / "a.npz") as arrays:
        x, y, z = scene.means.T
        np.testing.assert_array_equal(arrays["means"], np.stack([x, z, -y], axis=1))
    read = Gaussians.load(tmp_path / "a.npz", up="y")
    np.testing.assert_array_equal(read.means, scene.means)


def test_no_splats_are_a_file_too():
    empty = random_gaussians().select(np.zeros(COUNT, bool))
    assert len(decode(encode(empty, ".npz"), ".npz")) == 0


def npz(without=(), **changes):
    scene = random_gaussians()
    names = ["means", "opacities", "scales", "quats", "colors"]
    arrays = {name: getattr(scene, name) for name in names if name not in without} | changes
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


REFUSED = [
    (b"ply\n", "is no npz file; it must begin as a ZIP archive does"),
    (npz(without=["quats"]), "has no array 'quats'; Gaussians have means, opacities, scales"),
    (npz(without=["colors"]), "has no array 'colors'; Gaussians have means, opacities, scales"),
    (npz(means=np.zeros((3, 3), int)), "means holds int64 of shape .3, 3. in 72 bytes; floats of"),
    (npz(means=np.zeros((3, 3), object)), "means holds object of shape"),
    (npz(means=np.zeros((3, 5))), r"has means of shape \(3, 5\); see the shapes of geolrm.Gaus"),
    (npz(means=np.zeros((49, 3))), r"has opacities of shape \(50,\); see the shapes of geolrm.Ga"),
    (npz(quats=np.zeros((50, 3))), r"has quats of shape \(50, 3\); see the shapes of geolrm.Gauss"),
    (npz(means=np.float32(1)), r"has means of shape \(\); see the shapes of geolrm.Gaussians"),
    (npz(sh=np.zeros((50, 5, 3))), r"has sh of shape \(50, 5, 3\); see the shapes of geolrm.Gaus"),
    (npz(opacities=np.full(50, 2.0)), "splat 0 has opacity 2; it must be in"),
    (npz(means=np.full((50, 3), np.nan)), "has no splat of finite values within"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_what_holds_no_gaussians_is_refused(content, message):
    with pytest.raises(InputError, match=message):
        decode(content, ".npz")


def test_columns_that_were_stacked_are_read():
    scene = random_gaussians()
    columns = np.stack([*scene.means.T]).T
    assert columns.flags.f_contiguous and not columns.flags.c_contiguous
    read = decode(npz(means=columns), ".npz")
    np.testing.assert_array_equal(read.means, scene.means)


def test_headers_that_are_none_are_refused():
    from geolrm.engine.formats import archive

    members = archive.read(encode(random_gaussians(), ".npz"), "it")
    for change in (lambda c: b"X" + c[1:], lambda c: c[:6] + b"\7" + c[7:], lambda c: c[:20]):
        changed = archive.write(members | {"means.npy": change(members["means.npy"])})
        with pytest.raises(InputError, match="means is no array of NumPy: "):
            decode(changed, ".npz")
    long = members["means.npy"].replace(b"(50, 3)", b"(-5,-3)")
    with pytest.raises(InputError, match=r"means holds float32 of shape \(-5, -3\) in 600 bytes"):
        decode(archive.write(members | {"means.npy": long}), ".npz")
