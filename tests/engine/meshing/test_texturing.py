"""Textures of a ball whose paint is known, from photographs of some of it."""

import numpy as np
import pytest
from samples.painted_ball import RADIUS, ball, paint, painted, photographs, psnr, ring

from geolrm import GeoLRMError, InputError
from geolrm.engine.meshing import blending
from geolrm.engine.meshing.mesh import Mesh
from geolrm.engine.meshing.mesh_pictures import picture_colored, picture_textured
from geolrm.engine.meshing.texturing import texture

pytest.importorskip("xatlas")

SIZE = 256
RING = ring()
BETWEEN = ring(start=22.5, elevation=10.0)


@pytest.fixture(scope="module")
def baked():
    return texture(ball(), photographs(RING), RING, size=SIZE, threads=2)


def shown(mesh, cameras=BETWEEN, size=96):
    """Pictures of a mesh and of the truth, and where both are whole and seen from the ring."""
    made = picture_textured(mesh, cameras, (size, size))
    truth = picture_textured(painted(), cameras, (size, size))
    where = (made.alpha == 1) & (truth.alpha == 1)
    where[:, int(0.7 * size) :] = False  # from below nothing was photographed
    return made.rgb, truth.rgb, where


def test_what_was_photographed_is_seen_from_between_the_photographs(baked):
    assert psnr(*shown(baked)) > 33
    of_vertices = picture_colored(ball(paint), BETWEEN, (96, 96))
    assert psnr(of_vertices.rgb, *shown(baked)[1:]) < psnr(*shown(baked))


def test_it_has_the_triangles_of_the_mesh(baked):
    made = ball()
    np.testing.assert_allclose(baked.vertices[baked.faces], made.vertices[made.faces], atol=0.01)
    kept = texture(made, photographs(RING), RING, size=64, fit=False)
    np.testing.assert_array_equal(kept.vertices[kept.faces], made.vertices[made.faces])
    np.testing.assert_array_equal(kept.normals[kept.faces], made.normals[made.faces])
    assert baked.texture.shape == (SIZE, SIZE, 3) and baked.uv.min() >= 0 and baked.uv.max() <= 1
    assert repr(baked).endswith(f"{len(made.faces):,} triangles, {SIZE} x {SIZE} px)")


def test_exposures_are_brought_level():
    gains = [1, 1.5, 1, 0.7, 1, 1.3, 1, 0.8]
    uneven = texture(ball(), photographs(RING, gains=gains), RING, size=SIZE)
    made, truth, where = shown(uneven)
    ratio = (made[where] / truth[where]).mean()  # all may be brighter or darker alike
    assert psnr(made / ratio, truth, where) > 28


def test_threads_do_not_change_a_bit(baked):
    again = texture(ball(), photographs(RING), RING, size=SIZE, threads=1)
    np.testing.assert_array_equal(again.texture, baked.texture)
    np.testing.assert_array_equal(again.uv, baked.uv)


def test_holes_are_as_the_splats_and_seamless():
    """Photographed from one side alone: the far side has the colours of the vertices."""
    few = RING[[0, 1]]
    made = texture(ball(paint), photographs(few), few, size=SIZE)
    pictures = picture_textured(made, BETWEEN, (96, 96))
    truth = picture_textured(painted(), BETWEEN, (96, 96))
    assert psnr(pictures.rgb, truth.rgb, (pictures.alpha == 1) & (truth.alpha == 1)) > 28
    darker = texture(ball(lambda points: 0.8 * paint(points)), photographs(few), few, size=SIZE)
    steps = np.abs(np.diff(picture_textured(darker, BETWEEN, (96, 96)).rgb, axis=2))
    usual = np.abs(np.diff(truth.rgb, axis=2))
    inner = (truth.alpha[:, :, 1:] == 1) & (truth.alpha[:, :, :-1] == 1)
    inner[:, :, [0, -1]] = False
    assert np.quantile(steps[inner], 0.999) < 1.3 * np.quantile(usual[inner], 0.999)


def test_what_is_not_valid_is_not_taken():
    images = photographs(RING)
    valid = [None] * len(images)
    images[0] = images[0].copy()
    images[0][:, :48, :3] = 255
    valid[0] = np.ones((96, 96), bool)
    valid[0][:, :48] = False
    assert psnr(*shown(texture(ball(), images, RING, valid=valid, size=SIZE))) > 32


def test_one_photograph_with_something_else_before_the_ball_hardly_counts(monkeypatch):
    images = photographs(RING)
    images[2] = images[2].copy()
    images[2][30:60, 30:60, :3] = (255, 0, 255)
    robust = psnr(*shown(texture(ball(), images, RING, size=SIZE)))
    monkeypatch.setattr(blending, "SPREAD", 1e3)  # then it is a mean by weight alone
    assert robust > psnr(*shown(texture(ball(), images, RING, size=SIZE))) + 2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 63}, InputError, "size is 63; it must be 64 to 8192 pixels"),
        ({"mesh": Mesh(*(a[:0] for a in (ball().vertices, ball().faces, ball().colors)))},
         InputError, "the mesh has no triangles; there is nothing to texture"),
        ({"mesh": Mesh(ball().vertices + 5 * RADIUS, ball().faces, ball().colors)},
         GeoLRMError, "no photograph sees the mesh, and so it has no texture; are the splats"),
    ],
)  # fmt: skip
def test_what_is_refused(change, error, message):
    arguments = {"mesh": ball(), "images": photographs(RING[[0]]), "cameras": RING[[0]],
                 "size": SIZE, **change}  # fmt: skip
    with pytest.raises(error, match=message):
        texture(**arguments)


def test_a_mesh_of_another_object_is_warned_of():
    images = photographs(RING)
    for image in images:
        image[:, :48, 3] = 0  # the photographs show half of a ball
    with pytest.warns(UserWarning, match=r"the mesh is: \d\d% of what it covers; are"):
        texture(ball(), images, RING, size=64, fit=False)
