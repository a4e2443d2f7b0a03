import numpy as np
import pytest
from samples.gaussians import COUNT, random_gaussians
from samples.splat_files import compressed_ply, element, ply_file

from geolrm import InputError
from geolrm.engine.formats.splat_files import decode


@pytest.mark.parametrize("sh", [None, 4, 9, 16])
@pytest.mark.parametrize("color_ranges", [False, True])
def test_attributes_come_back_up_to_their_steps(sh, color_ranges):
    scene = random_gaussians(sh)
    if sh is not None and not color_ranges:  # without ranges, colours lie in [0, 1]
        scene.sh[:, 0] = np.random.default_rng(1).uniform(-1.7, 1.7, (COUNT, 3))
    read = decode(compressed_ply(scene, color_ranges=color_ranges), ".ply")
    np.testing.assert_allclose(read.means, scene.means, atol=0.51 / 1023)
    np.testing.assert_allclose(read.opacities, scene.opacities, atol=0.51 / 255)
    span = np.ptp(np.log(scene.scales))
    np.testing.assert_allclose(np.log(read.scales), np.log(scene.scales), atol=0.51 * span / 1023)
    signs = np.sign((read.quats * scene.quats).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(read.quats * signs, scene.quats, atol=3e-3)
    if sh is None:
        np.testing.assert_allclose(read.colors, scene.colors, atol=0.51 / 255)
        return
    step = np.ptp(scene.sh[:, 0]) / 255
    np.testing.assert_allclose(read.sh[:, 0], scene.sh[:, 0], atol=0.51 * max(step, 1 / 72))
    np.testing.assert_allclose(read.sh[:, 1:], scene.sh[:, 1:], atol=0.51 / 32)


def test_every_chunk_has_its_own_range():
    """257 splats in two chunks: the last splat is the only one of the second."""
    zeros = dict.fromkeys(
        (f"{end}_{key}" for end in ("min", "max") for key in
         ("x", "y", "z", "scale_x", "scale_y", "scale_z")), np.zeros(2),
    )  # fmt: skip
    ranges = zeros | {"min_x": [-1, 5], "max_x": [1, 7], "max_scale_y": [0, np.log(2)]}
    words = {
        "packed_position": np.full(257, 2047 << 21, np.uint32),
        "packed_rotation": np.full(257, 511 << 20 | 511 << 10 | 511, np.uint32),
        "packed_scale": np.full(257, 1023 << 11, np.uint32),
        "packed_color": np.full(257, 0xFF000080, np.uint32),
    }
    content = ply_file(
        element("chunk", ranges), element("vertex", words, dict.fromkeys(words, "uint"))
    )
    read = decode(content, ".ply")
    np.testing.assert_array_equal(read.means[[0, 255, 256]], [[1, 0, 0], [1, 0, 0], [7, 0, 0]])
    np.testing.assert_allclose(read.scales[[255, 256]], [[1, 1, 1], [1, 2, 1]], rtol=1e-6)
    np.testing.assert_array_equal(read.colors, [[1, 0, 0]] * 257)
    np.testing.assert_allclose(read.opacities, 128 / 255, rtol=1e-6)
    np.testing.assert_allclose(read.quats, [[1, 0, 0, 0]] * 257, atol=2e-3)


def renamed(index, old, new):
    def change(elements):
        name, count, properties, body = elements[index]
        properties = [(kind, new if key == old else key) for kind, key in properties]
        elements[index] = (name, count, properties, body)
        return elements

    return change


@pytest.mark.parametrize(
    ("sh", "change", "message"),
    [
        (None, renamed(1, "packed_scale", "x"), "is a compressed PLY without 'packed_scale'"),
        (None, renamed(0, "max_z", "x"), "is a compressed PLY without 'max_z'; it is damaged"),
        (None, lambda e: e[1:], "is a compressed PLY without 'chunk'; it is damaged"),
        (None, lambda e: [(e[0][0], 2, *e[0][2:3], e[0][3] * 2), e[1]],
         "has 2 chunks; its 50 splats need 1: it is damaged"),
        (4, renamed(2, "f_rest_3", "f_rest_9"), "has 50 rows of 9 harmonics; it must be 9, 24 or"),
        (4, lambda e: [*e[:2], ("sh", 49, e[2][2], e[2][3][:-9])], "has 49 rows of 9 harmonics"),
        (None, lambda e: [e[0], (*e[1][:3], e[1][3][:-1])], "the file is truncated or damaged"),
    ],
)  # fmt: skip
def test_damaged_files_are_refused(sh, change, message):
    with pytest.raises(InputError, match=message):
        decode(compressed_ply(random_gaussians(sh), color_ranges=True, change=change), ".ply")


def test_there_is_no_raw_layout():
    with pytest.raises(InputError, match="is a compressed PLY, which has no raw layout"):
        decode(compressed_ply(random_gaussians()), ".ply", raw=True)


def test_a_range_that_is_not_finite_leaves_its_chunk_out():
    ranges = {f"{end}_{key}": np.array([0, np.nan if key == "y" else 1.0])
              for key in ("x", "y", "z", "scale_x", "scale_y", "scale_z")
              for end in ("min", "max")}  # fmt: skip
    words = dict.fromkeys(
        ("packed_position", "packed_rotation", "packed_scale", "packed_color"),
        np.zeros(300, np.uint32),
    )
    content = ply_file(
        element("chunk", ranges), element("vertex", words, dict.fromkeys(words, "uint"))
    )
    with pytest.warns(UserWarning, match="left out 44 of 300 splats, .*; splat 256 has a position"):
        assert len(decode(content, ".ply")) == 256
