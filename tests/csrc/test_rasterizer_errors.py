"""What cannot be drawn is refused in one sentence: the value, the rule, the remedy."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from csrc.scenes import camera, cloud

from geolrm import _C
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders

SIZE = (16, 12)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("means", np.nan, "means of splat 3 is nan; it must be finite"),
        ("means", np.inf, "means of splat 3 is inf; it must be finite"),
        ("colors", -np.inf, "colors of splat 3 is -inf; it must be finite"),
        ("scales", -0.5, "scales of splat 3 is -0.5; it must not be negative"),
        ("scales", np.nan, "scales of splat 3 is nan; it must be finite"),
        ("opacities", 1.5, r"opacities of splat 3 is 1.5; it must lie in \[0, 1\]"),
        ("opacities", np.nan, r"opacities of splat 3 is nan; it must lie in \[0, 1\]"),
        ("quats", 0.0, "quats of splat 3 is 0; a quaternion must not be all zero"),
        ("quats", np.nan, "quats of splat 3 is nan; it must be finite"),
    ],
)
def test_values(name, value, text):
    scene = cloud(5, 0)
    getattr(scene, name)[3] = value
    with pytest.raises(ValueError, match=text):
        scene.model()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"means": np.zeros((5, 2), np.float32)}, ValueError, r"means has shape \[5, 2\]; it must"),
        ({"scales": np.zeros((4, 3), np.float32)}, ValueError, r"scales has shape \[4, 3\]"),
        ({"means": np.zeros((5, 3))}, TypeError, "means has dtype float64; it must be float32"),
        ({"quats": np.ones((4, 5), np.float32).T}, ValueError, "quats is not C-contiguous"),
        ({"colors": None}, ValueError, "either colors or sh must be given"),
        ({"sh": np.zeros((5, 4, 3), np.float32)}, ValueError, "either colors or sh must be given"),
        ({"colors": None, "sh": np.zeros((5, 3, 3), np.float32)}, ValueError, "1, 4, 9 or 16"),
    ],
)
def test_arrays(change, error, text):
    arrays = cloud(5, 0).arrays() | change
    with pytest.raises(error, match=text):
        _C.SplatModel(**arrays)


def draw(size=SIZE, w2c=None, k=None, out=None, parameters=None, **options):
    pose, intrinsics = camera(SIZE)
    w2c = pose if w2c is None else w2c
    k = intrinsics if k is None else k
    model = cloud(5, 0).model()
    frame = Frame(w2c[None], k[None], size, parameters or _C.RasterParameters())
    return render_frame(model, frame, out=out, **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": (0, 4)}, "image side is 0; it must lie in"),
        ({"size": (4, 20000)}, "image side is 20000; it must lie in"),
        ({"size": (-4, 4)}, "image side is -4; it must lie in"),
        ({"size": (10**9, 10**9)}, "image side is 1000000000; it must lie in"),
        ({"size": (np.inf, 4)}, "two whole numbers"),
        ({"size": (4.5, 4)}, "two whole numbers"),
        ({"size": (4,)}, "two whole numbers"),
        ({"w2c": np.diag([2.0, 2, 2, 1])}, "rigid world-to-camera matrix"),
        ({"w2c": np.full((4, 4), np.nan)}, "camera poses must be finite"),
        ({"w2c": np.eye(3)}, r"w2c has shape \[1, 3, 3\]; it must be \[V, 4, 4\]"),
        ({"k": np.diag([0.0, 1, 1])}, "fx is 0; focal lengths must be positive"),
        ({"k": np.eye(4)}, r"intrinsics has shape \[1, 4, 4\]"),
        ({"threads": 0}, "threads is 0; it must be a whole number, 1 or more"),
        ({"threads": 1.5}, "threads is 1.5; it must be a whole number"),
        ({"threads": "2"}, "threads is '2'; it must be a whole number"),
        ({"isa": "sse"}, r"isa is 'sse'; it must be (plain, avx2 or avx512|plain or neon)$"),
        ({"tile_size": 48}, "tile_size is 48; it must be 32 or 64"),
        ({"pair_budget": 0}, "pair_budget is 0; it must be positive"),
    ],
)
def test_cameras_and_options(options, text):
    with pytest.raises(ValueError, match=text):
        draw(**options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("near", 0.0),
        ("near", np.nan),
        ("eps2d", -1.0),
        ("alpha_max", 1.0),
        ("alpha_min", 0.0),
        ("transmittance_min", 0.0),
        ("clip_margin", -0.1),
        ("background", (np.nan, 0, 0)),
    ],
)
def test_parameters(name, value):
    with pytest.raises(ValueError, match=f"{name} is "):
        _C.RasterParameters(**{name: value})


def test_outputs():
    out = Renders.empty(1, (16, 13))
    with pytest.raises(ValueError, match=r"rgb has shape \[1, 13, 16, 3\]; it must be \[1, 12"):
        draw(out=out)
    out = Renders.empty(1, SIZE)
    out.alpha.flags.writeable = False
    with pytest.raises(ValueError, match="alpha is read-only"):
        draw(out=out)
    with pytest.raises(ValueError, match="out is a ndarray; it must be Renders"):
        draw(out=out.rgb)
    with pytest.raises(ValueError, match="out has images that share memory"):
        draw(out=Renders(out.rgb, out.depth, out.depth))


def test_ctrl_c_stops_a_long_render():
    scene, size = cloud(20000, 1, low=0.3, high=1.0), (1024, 1024)
    scene.opacities[:] = 0.005
    pose, k = camera(size)
    views = 400
    model = scene.model()
    shared = np.zeros((size[1], size[0], 5), np.float32)
    repeat = lambda a: np.broadcast_to(a, (views, *a.shape))  # noqa: E731
    del shared
    out = Renders.empty(views // 100, size)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    # Python leaves it ignored where a shell started the tests in its background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    start = time.monotonic()
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            render_frame(model, Frame(repeat(pose)[:4], repeat(k)[:4], size), out=out)
        assert time.monotonic() - start < 3
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
