import numpy as np
import pytest
from samples.gaussians import random_gaussians

from geolrm import InputError
from geolrm.engine.formats.splat_files import decode, encode, load, resolve, suffix_of


def test_names_say_the_format():
    assert suffix_of("a/b.PLY") == ".ply"
    with pytest.raises(
        InputError, match="'a.obj' names no splat format; .* must end in .ply, .spz"
    ):
        suffix_of("a.obj")


@pytest.mark.parametrize(
    ("suffix", "asked", "up"),
    [(".ply", None, "z"), (".spz", None, "y"), (".spz", "z", "z"), (".glb", "y", "y")],
)
def test_the_axis_that_is_up_in_a_file(suffix, asked, up):
    assert resolve(suffix, asked)[1] == up


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resolve(".obj", None), "'.obj' is no splat format; it must be one of"),
        (lambda: resolve(".glb", "z", "--up"), "--up is 'z', but a .glb file is y up: leave it"),
        (lambda: encode(random_gaussians(), ".spz", raw=True), "the raw layout is one of PLY"),
        (lambda: decode(b"", ".spz", raw=True), "the data is no PLY, which alone has a raw"),
    ],
)
def test_what_formats_do_not_have(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_values_are_checked_before_they_are_written():
    splats = random_gaussians()
    splats.means[7, 1] = np.nan
    with pytest.raises(InputError, match="the Gaussians: splat 7 has a value of means of nan"):
        encode(splats, ".ply")


def test_rotations_are_written_with_unit_length():
    splats = random_gaussians()
    expected = splats.quats.copy()
    splats.quats[:] *= 3
    read = decode(encode(splats, ".ply"), ".ply")
    np.testing.assert_allclose(np.abs((read.quats * expected).sum(axis=1)), 1, atol=1e-5)


def test_harmonics_become_their_mean_where_there_is_no_room():
    with pytest.warns(UserWarning, match="a .splat file holds no colours that depend on the view"):
        read = decode(encode(random_gaussians(4), ".splat"), ".splat")
    assert read.sh is None


def test_what_is_no_file(tmp_path):
    (tmp_path / "a.ply").mkdir()
    with pytest.raises(InputError, match="a.ply' is not a regular file; name a splat file"):
        load(tmp_path / "a.ply")
