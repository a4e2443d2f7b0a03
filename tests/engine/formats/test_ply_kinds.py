"""Vertices that are no splats, or nearly: what they are called, and what helps."""

import numpy as np
import pytest
from samples.gaussians import COUNT, random_gaussians
from samples.splat_files import element, ply_file, splat_rows

from geolrm import InputError
from geolrm.engine.formats.splat_files import decode

SCENE = random_gaussians()
ROWS = splat_rows(SCENE)
BYTES = dict.fromkeys(("red", "green", "blue"), "uchar")
POINTS = {key: ROWS[key] for key in "xyz"} | dict.fromkeys(BYTES, np.arange(COUNT))
FACE = ("face", 0, [("list uchar int", "vertex_indices")], b"")


def without(*keys):
    return {key: values for key, values in ROWS.items() if key not in keys}


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ([element("vertex", POINTS, BYTES)],
         "a is a point cloud: it has no f_dc, opacity, scale and rot; name the splats that were "
         "trained from it, such as point_cloud/iteration_30000/point_cloud.ply"),
        ([element("vertex", POINTS, BYTES), FACE],
         "a is a mesh: its vertices have no f_dc, opacity, scale and rot; name a file of splats"),
        ([element("vertex", without("scale_2"))],
         r"a holds 2D Gaussians \(2DGS\): it has no scale_2; train 3D Gaussians, or add a property "
         "scale_2 of -14 to each, which makes thin 3D ones"),
        ([element("vertex", without("opacity", "rot_1"))], "a has no property 'opacity'; it is no"),
        ([element("vertex", without("f_dc_1"))], "a has no property 'f_dc_1'; it is no Gaussian"),
        ([element("vertex", without("f_dc_0", "f_dc_1", "f_dc_2"))], "a has no property 'f_dc_0'"),
    ],
)  # fmt: skip
def test_each_kind_is_named(elements, message):
    with pytest.raises(InputError, match=message):
        decode(ply_file(*elements), ".ply", name="a")


def test_the_remedy_for_2dgs_works():
    read = decode(ply_file(element("vertex", ROWS | {"scale_2": np.full(COUNT, -14.0)})), ".ply")
    np.testing.assert_allclose(read.scales[:, 2], 8.315e-7, rtol=1e-3)
    np.testing.assert_allclose(read.scales[:, :2], SCENE.scales[:, :2], rtol=1e-5)


def test_colours_of_bytes_stand_in_for_f_dc():
    bytes_of = {key: np.rint(SCENE.colors[:, i] * 255) for i, key in enumerate(BYTES)}
    rows = without("f_dc_0", "f_dc_1", "f_dc_2")
    read = decode(ply_file(element("vertex", rows | bytes_of, BYTES)), ".ply")
    np.testing.assert_allclose(read.colors, SCENE.colors, atol=0.51 / 255)
    np.testing.assert_allclose(read.opacities, SCENE.opacities, rtol=1e-5)


def test_colours_of_bytes_beside_f_dc_are_not_read():
    read = decode(ply_file(element("vertex", ROWS | dict.fromkeys(BYTES, 0), BYTES)), ".ply")
    np.testing.assert_allclose(read.colors, SCENE.colors, atol=1e-6)
