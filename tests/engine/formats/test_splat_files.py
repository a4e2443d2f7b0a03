import numpy as np
import pytest
from samples.gaussians import random_gaussians

from geolrm import InputError
from geolrm.engine.formats.splat_files import FORMATS, decode, encode, load, resolve, suffix_of


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
        (
            lambda: encode(random_gaussians(), ".ply", sh_degree=4),
            "sh_degree is 4; it must be 0, 1",
        ),
        (lambda: encode(random_gaussians(), ".ply", sh_degree=-1), "sh_degree is -1; it must be 0"),
        (lambda: encode(random_gaussians(), ".splat", sh_degree=0), "a .splat file holds no harmo"),
        (lambda: encode(random_gaussians(), ".ply", raw=True, sh_degree=3), "a raw PLY holds no h"),
        (
            lambda: encode(random_gaussians(), ".spz", spz_version=2),
            "spz_version is 2; it must",
        ),
        (lambda: encode(random_gaussians(), ".ply", spz_version=4), ".ply files are no SPZ: leave"),
        (lambda: decode(b"", ".usda"), "the data is a .usda file, and those are written but not r"),
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


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".glb", ".sog", ".npz"])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("sh", [None, 4, 16])
def test_files_of_a_degree_of_harmonics(suffix, degree, sh):
    scene = random_gaussians(sh)
    written = encode(scene, suffix, sh_degree=degree)
    read, whole = decode(written, suffix), decode(encode(scene, suffix), suffix)
    held = 1 if read.sh is None else read.sh.shape[1]
    assert held == (degree + 1) ** 2
    given = 1 if whole.sh is None else whole.sh.shape[1]
    atol = {".spz": 0.09, ".sog": 0.2}.get(suffix, 1e-5)  # what their steps and codebooks take
    if read.sh is not None:
        assert np.abs(read.sh[:, given:]).max(initial=0) <= (0 if suffix != ".sog" else 1e-4)
        if whole.sh is not None:
            both = min(held, given)
            np.testing.assert_allclose(read.sh[:, :both], whole.sh[:, :both], atol=atol)
    elif whole.sh is None:
        np.testing.assert_allclose(read.colors, whole.colors, atol=1e-6)


@pytest.mark.parametrize("suffix", [s for s in FORMATS if s != ".usdc"])
@pytest.mark.parametrize("sh", [None, 16])
@pytest.mark.filterwarnings("ignore:a .splat file holds no colours")
def test_the_same_splats_give_the_same_bytes(suffix, sh):
    first = encode(random_gaussians(sh), suffix)
    assert encode(random_gaussians(sh), suffix) == first
    assert suffix != ".spz" or encode(random_gaussians(sh), suffix, spz_version=3) == first
