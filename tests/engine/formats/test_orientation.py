"""An object without symmetry stands upright in files of either frame."""

import numpy as np
import pytest
from harness.processes import assert_refused, call_here

from geolrm import Gaussians, InputError
from geolrm.engine.formats.splat_files import decode, encode
from geolrm.engine.geometry import harmonics

TOP, RIGHT, FRONT = [0, 0, 0.45], [0.3, 0, 0], [0, -0.15, 0]  # object frame: z up, front is -y


def signpost():
    """Red on top, green to the right, blue in front, each stretched along its direction."""
    return Gaussians(
        means=np.array([TOP, RIGHT, FRONT]),
        opacities=np.full(3, 0.9),
        scales=np.array([[0.01, 0.02, 0.2], [0.15, 0.01, 0.02], [0.02, 0.1, 0.01]]),
        quats=np.tile([1.0, 0, 0, 0], (3, 1)),
        colors=np.eye(3),
    )


def covariances(gaussians):
    w, x, y, z = gaussians.quats.astype(float).T
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)
    scaled = turn * gaussians.scales[:, None, :].astype(float)
    return scaled @ scaled.transpose(0, 2, 1)


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat"])
def test_y_up_files_stand_on_the_xz_plane(suffix):
    content = encode(signpost(), suffix, up="y")
    stored = decode(content, suffix, up="z")  # the numbers of the file, unturned
    expected = np.array([[0, 0.45, 0], [0.3, 0, 0], [0, 0, 0.15]])  # y up, front +z
    np.testing.assert_allclose(stored.means, expected, atol=2e-4)
    axes = np.argmax(np.diagonal(covariances(stored), axis1=1, axis2=2), axis=1)
    assert axes.tolist() == [1, 0, 2]  # each is still stretched along its own direction
    colors = np.argmax(stored.colors, axis=1)
    assert colors.tolist() == [0, 1, 2]


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat"])
def test_z_up_files_hold_the_object_frame(suffix):
    stored = decode(encode(signpost(), suffix, up="z"), suffix, up="z")
    np.testing.assert_allclose(stored.means, signpost().means, atol=2e-4)


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat", ".glb"])
def test_what_is_read_stands_as_what_was_written(suffix):
    scene = signpost()
    read = decode(encode(scene, suffix), suffix)
    np.testing.assert_allclose(read.means, scene.means, atol=2e-4)
    np.testing.assert_allclose(covariances(read), covariances(scene), atol=3e-3)


def test_a_ply_says_when_y_is_up():
    content = encode(signpost(), ".ply", up="y")
    assert b"\ncomment geolrm up y\n" in content.split(b"end_header")[0]
    np.testing.assert_array_equal(decode(content, ".ply").means, signpost().means)


def test_harmonics_turn_along():
    """The colour that a splat shows towards a direction follows the splat."""
    rng = np.random.default_rng(1)
    scene = Gaussians(
        means=np.zeros((4, 3)), opacities=np.full(4, 0.5), scales=np.full((4, 3), 0.1),
        quats=np.tile([1.0, 0, 0, 0], (4, 1)), sh=rng.standard_normal((4, 16, 3)),
    )  # fmt: skip
    stored = decode(encode(scene, ".ply", up="y"), ".ply", up="z")
    directions = rng.standard_normal((50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    x, y, z = directions.T
    turned = np.stack([x, z, -y], axis=1)
    before = np.einsum("dk,nkc->ndc", harmonics.basis(directions, 16), scene.sh)
    after = np.einsum("dk,nkc->ndc", harmonics.basis(turned, 16), stored.sh)
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_convert_turns(tmp_path):
    signpost().save(tmp_path / "a.ply")
    done = call_here("geolrm", "convert", tmp_path / "a.ply", tmp_path / "b.ply", "--up", "y")
    assert done.returncode == 0, done.stderr
    stored = Gaussians.load(tmp_path / "b.ply", up="z")
    np.testing.assert_allclose(stored.means[0], [0, 0.45, 0], atol=1e-6)
    done = call_here(
        "geolrm", "convert", tmp_path / "b.ply", tmp_path / "c.splat", "--from-up", "z"
    )  # its numbers as they are
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(Gaussians.load(tmp_path / "c.splat").means, stored.means)


def test_other_axes_are_refused(tmp_path):
    with pytest.raises(InputError, match="up is 'x'; it must be 'y' or 'z'"):
        encode(signpost(), ".ply", up="x")
    with pytest.raises(InputError, match="up is 'z', but a .glb file is y up: leave it out"):
        encode(signpost(), ".glb", up="z")
    signpost().save(tmp_path / "a.ply")
    done = call_here("geolrm", "convert", tmp_path / "a.ply", tmp_path / "b.glb", "--up", "z")
    assert_refused(done, "up is 'z', but a .glb file is y up: leave it out")
    assert not (tmp_path / "b.glb").exists()
