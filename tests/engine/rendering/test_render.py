"""The Python face: duck-typed scenes and cameras, caching, conventions."""

from types import SimpleNamespace

import numpy as np
import pytest
from csrc.scenes import assert_close, camera, cloud, truth
from reference.rasterizer import Parameters

from geolrm import Cameras, Gaussians
from geolrm.engine.rendering.frame import to_opencv
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.render import render


class Bag(SimpleNamespace):
    __hash__ = object.__hash__


def opengl(cam, size):
    """The same camera in the project's own convention."""
    w2c, k = cam
    c2w = np.linalg.inv(w2c) @ np.diag([1.0, -1, -1, 1])
    return Bag(c2w=c2w[None], intrinsics=(k / np.array([[size[0]], [size[1]], [1]]))[None])


@pytest.mark.parametrize("sh_count", [0, 9])
def test_conventions(sh_count):
    scene, size = cloud(300, 1, sh_count=sh_count), (90, 60)
    cam = camera(size, shift=(5, -3), aspect=1.2)
    image = render(Bag(**scene.arrays()), opengl(cam, size), size, background=(0, 0, 0))
    assert_close(image, truth(scene, cam, size, p=Parameters(background=(0, 0, 0))))
    assert repr(image) == "Renders(1 views, 90x60)"


def test_wrong_cameras():
    scene, size = Bag(**cloud(5, 2).arrays()), (20, 20)
    with pytest.raises(ValueError, match=r"cameras.c2w has shape \[4, 4\]; it must be \[V, 4, 4\]"):
        render(scene, Bag(c2w=np.eye(4), intrinsics=np.eye(3)), size)
    with pytest.raises(ValueError, match=r"cameras.intrinsics has shape \[3, 3\]"):
        render(scene, Bag(c2w=np.eye(4)[None], intrinsics=np.eye(3)), size)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"background": (1, 1)}, r"background is \(1, 1\); it must be three numbers"),
        ({"background": "white"}, "background is 'white'; it must be three numbers"),
        ({"background": None}, "background is None; it must be three numbers"),
        ({"near": "far"}, "near is 'far'; it must be a number"),
        ({"eps2d": None}, "eps2d is None; it must be a number"),
        ({"alpha_max": 1.0}, r"alpha_max is 1; it must lie in \(0, 1\)"),
        ({"antialiased": "no"}, "antialiased is 'no'; it must be True or False"),
        ({"threads": -1}, "threads is -1; it must be a whole number"),
    ],
)
def test_wrong_options(option, text):
    scene, size = Bag(**cloud(5, 2).arrays()), (20, 20)
    with pytest.raises(ValueError, match=text) as raised:
        render(scene, opengl(camera(size), size), size, **option)
    assert "\n" not in str(raised.value)


def test_wrong_scenes():
    scene, size = Bag(**cloud(5, 2).arrays()), (20, 20)
    cameras = opengl(camera(size), size)
    with pytest.raises(ValueError, match="gaussians is a NoneType without means; pass Gaussians"):
        render(None, cameras, size)
    with pytest.raises(ValueError, match="cameras is a Bag without c2w; pass Cameras"):
        render(scene, scene, size)
    with pytest.raises(ValueError, match="cameras.c2w holds a matrix without an inverse"):
        render(scene, Bag(c2w=np.zeros((1, 4, 4)), intrinsics=cameras.intrinsics), size)


def test_float32_poses_are_not_moved():
    # A float32 rotation is orthonormal to 1e-7 only: its transpose is another matrix.
    size = (90, 60)
    w2c = camera(size)[0].astype(np.float32)
    k = np.array([[80, 0, 45], [0, 80, 30], [0, 0, 1.0]])
    cameras = Cameras.from_opencv(world_to_camera=w2c, intrinsics=k, size=size)
    poses, intrinsics = to_opencv(cameras.c2w, cameras.intrinsics, size)
    np.testing.assert_allclose(poses[0], w2c, rtol=0, atol=1e-14)
    np.testing.assert_allclose(intrinsics[0], k, rtol=1e-14)


@pytest.mark.parametrize("sh_count", [0, 1, 4, 9, 16])
def test_the_whole_interface_in_words(sh_count):
    scene, size = cloud(300, 4, sh_count=sh_count), (75, 50)
    cam = camera(size, shift=(4, -2), aspect=0.9)
    gaussians = Gaussians(**scene.arrays())
    w2c, k = cam
    cameras = Cameras.from_opencv(world_to_camera=np.stack([w2c, w2c]), intrinsics=k, size=size)
    options = {"background": (0.2, 0.5, 1), "near": 0.2, "eps2d": 0.1, "alpha_max": 0.999}
    out = Renders.empty(2, size)
    image = render(gaussians, cameras, size, antialiased=True, threads=2, out=out, **options)
    assert image is out
    assert (image.rgb.shape, image.depth.shape) == ((2, 50, 75, 3), (2, 50, 75))
    assert_close(image, truth(scene, cam, size, p=Parameters(antialiased=True, **options)), view=1)
    same = gaussians.render(cameras, size, antialiased=True, **options)
    assert same.rgb.tobytes() == image.rgb.tobytes()
