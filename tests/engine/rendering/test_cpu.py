"""Frames and their gradients on the CPU."""

import numpy as np
import pytest
from csrc.scenes import assert_close, camera, cloud, truth
from reference.rasterizer import Parameters

from geolrm import InputError
from geolrm.engine.rendering.cpu import Gradients, backward, check_threads, render_frame
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.options import RenderOptions
from geolrm.engine.system import cores

SIZE = (40, 30)
FIELDS = ("means", "opacities", "scales", "quats", "color")


def framed(background=(0, 0, 0)):
    w2c, k = camera(SIZE)
    return Frame(w2c[None], k[None], SIZE, RenderOptions(background).parameters)


def test_a_frame_is_that_of_the_reference_and_goes_where_it_is_wanted():
    scene, out = cloud(200, 1), Renders.empty(1, SIZE)
    image = render_frame(scene.model(), framed((1, 0.5, 0)), threads=2, out=out)
    assert image is out
    assert_close(image, truth(scene, camera(SIZE), SIZE, p=Parameters(background=(1, 0.5, 0))))


def test_images_of_another_size_are_refused():
    with pytest.raises(InputError, match=r"rgb has shape \[1, 30, 41, 3\]; it must be \[1, 30, 40"):
        render_frame(cloud(5, 0).model(), framed(), out=Renders.empty(1, (41, 30)))


@pytest.mark.parametrize("coefficients", [0, 4])
def test_color_is_linear_in_what_its_gradient_belongs_to(coefficients):
    """Over black, an image is its gradient times the colours; harmonics are moved by 1/2."""
    scene = cloud(200, 2, sh_count=coefficients)
    if coefficients:
        scene.sh *= 0.1  # far from where colours are clamped at 0
    weights = Renders.empty(1, SIZE)
    rng = np.random.default_rng(0)
    weights.rgb[:], weights.alpha[:], weights.depth[:] = rng.normal(size=weights.rgb.shape), 0, 0

    def loss(color):
        setattr(scene, "sh" if coefficients else "colors", color)
        return float((render_frame(scene.model(), framed()).rgb * weights.rgb).sum(dtype="f8"))

    color = scene.sh if coefficients else scene.colors
    got = backward(scene.model(), framed(), weights, coefficients=coefficients)
    assert got.color.shape == color.shape
    expected = loss(color) - loss(np.zeros_like(color))
    assert (got.color * color).sum(dtype="f8") == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_threads_never_change_gradients(monkeypatch):
    monkeypatch.setattr("geolrm.engine.system.cores.usable_cores", lambda: 3)
    scene, images = cloud(300, 3), Renders.empty(1, SIZE)
    for array in (images.rgb, images.alpha, images.depth):
        array[:] = np.random.default_rng(1).normal(size=array.shape)
    one, three = (backward(scene.model(), framed(), images, threads=n) for n in (1, 3))
    for name in FIELDS:
        assert np.abs(getattr(one, name)).max() > 0
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


@pytest.mark.parametrize(("coefficients", "color"), [(0, (7, 3)), (9, (7, 9, 3))])
def test_gradients_have_the_shapes_of_the_scene(coefficients, color):
    zeros = Gradients.zeros(7, coefficients)
    shapes = [getattr(zeros, name).shape for name in FIELDS]
    assert shapes == [(7, 3), (7,), (7, 3), (7, 4), color]
    assert not any(getattr(zeros, name).any() for name in FIELDS)


def test_threads_are_the_cores_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert check_threads(None) == check_threads(64) == 3 and check_threads(2) == 2
    monkeypatch.delattr(cores.os, "sched_getaffinity")
    monkeypatch.setattr(cores.os, "cpu_count", lambda: None)
    assert check_threads(None) == 1
    with pytest.raises(ValueError, match="threads is 0; it must be a whole number, 1 or more"):
        check_threads(0)


def test_no_more_threads_than_the_kernels_take(monkeypatch):
    monkeypatch.setattr("geolrm.engine.system.cores.usable_cores", lambda: 1000)
    assert check_threads(None) == 256
    assert check_threads(10_000) == check_threads(np.int64(256)) == 256


def test_gradients_to_cameras_come_when_they_are_asked_for():
    """A camera that moves sees what it would see if every mean moved the other way round."""
    scene, rng = cloud(200, 6), np.random.default_rng(0)
    shape = (1, SIZE[1], SIZE[0])
    images = Renders(*(rng.normal(size=s).astype(np.float32) for s in ((*shape, 3), shape, shape)))
    assert backward(scene.model(), framed(), images).cameras is None
    got = backward(scene.model(), framed(), images, cameras=True)
    assert got.cameras is not None and got.cameras.shape == (1, 8)
    to_means = got.means.sum(0, dtype=np.float64) @ framed().w2c[0, :3, :3].T
    np.testing.assert_allclose(got.cameras[0, 3:6], to_means, rtol=1e-4)
