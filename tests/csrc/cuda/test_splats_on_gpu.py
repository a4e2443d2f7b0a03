"""The CUDA rasterizer on a real device against the CPU's: run with `pytest -m gpu`."""

import numpy as np
import pytest
from csrc.cuda.emulated_splats import Arrays
from csrc.scenes import assert_close, camera, cloud
from csrc.scenes import draw as draw_on_cpu
from reference.rasterizer import Parameters

from geolrm import _C
from geolrm.bench import splat_scenes
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.splat_plan import BUDGET

pytestmark = pytest.mark.gpu
NAMES = ("rgb", "alpha", "depth")


@pytest.fixture(scope="module")
def device():
    try:
        from geolrm.engine.cuda.device import open_device

        return open_device(0)
    except (ImportError, GeoLRMError) as error:
        pytest.skip(f"no GPU: {error}")


def draw(device, scene, cams, size, p=None, budget=BUDGET):
    rasterizer = SplatRasterizer(device, budget=budget)
    w2c, intrinsics = (np.stack([cam[i] for cam in cams]) for i in (0, 1))
    frame = Frame(w2c, intrinsics, size, _C.RasterParameters(**vars(p or Parameters())))
    return rasterizer.render_frame(rasterizer.pack(Arrays(scene)), frame).numpy()


@pytest.mark.parametrize("seed", range(24))
def test_random_scenes(device, seed):
    rng = np.random.default_rng(seed)
    size = tuple(int(side) for side in rng.integers(48, 400, 2))
    low = float(np.exp(rng.uniform(np.log(0.0005), np.log(0.05))))
    sh_count = int(rng.choice([0, 1, 4, 9, 16]))
    count, high = int(rng.integers(0, 20000)), low * rng.uniform(1, 50)
    scene = cloud(count, seed, low=low, high=high, sh_count=sh_count)
    cams = [
        camera(
            size,
            azimuth=rng.uniform(0, 6.28),
            elevation=rng.uniform(-1.5, 1.5),
            radius=rng.uniform(0, 3),
            fov=rng.uniform(0.2, 2.5),
            aspect=rng.uniform(0.5, 2),
            shift=rng.uniform(-0.6, 0.6, 2) * size,
        )
        for _ in range(int(rng.integers(1, 4)))
    ]
    p = Parameters(antialiased=bool(seed % 2), near=0.2 if seed % 3 else 0.01)
    image = draw(device, scene, cams, size, p)
    for view, cam in enumerate(cams):
        expected = draw_on_cpu(scene, cam, size, p=p)
        assert_close(image, {n: getattr(expected, n)[0] for n in NAMES}, view=view)


def test_needles_and_huge_splats(device):
    size = (400, 300)
    needles, huge = cloud(300, 8, extent=1.0), cloud(600, 4, low=0.5, high=5.0)
    needles.scales[:] = np.float32([3.0, 1e-4, 1e-4])
    for scene in (needles, huge):
        expected = draw_on_cpu(scene, camera(size), size)
        image = draw(device, scene, [camera(size)], size)
        assert_close(image, {n: getattr(expected, n)[0] for n in NAMES})


@pytest.mark.parametrize("px", [512, 1024])
def test_half_a_million_splats(device, px):
    scene = splat_scenes.ring_and_ball(524288)
    frame = Frame(scene.w2c[None], scene.intrinsics(px, px)[None], (px, px))
    image = SplatRasterizer(device).render_frame(scene, frame).numpy()
    expected = render_frame(_C.SplatModel(**scene.splats()), frame)
    assert_close(image, {n: getattr(expected, n)[0] for n in NAMES})


def test_slabs_and_groups_never_change_a_bit(device):
    scene, size = cloud(200_000, 3, low=0.002, high=0.02), (640, 360)
    cams = [camera(size, azimuth=a) for a in (0.0, 1.0, 2.5)]
    whole = draw(device, scene, cams, size)
    for budget in (BUDGET, 4 << 20):
        again = draw(device, scene, cams, size, budget=budget)
        for name in NAMES:
            np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_a_captured_frame_follows_its_cameras(device):
    scene, size = cloud(5000, 1), (320, 200)
    rasterizer, out = SplatRasterizer(device), DeviceRenders.empty(device, 1, size)
    splats = rasterizer.pack(Arrays(scene))
    replay = None
    for azimuth in (0.1, 1.7, 4.0):
        w2c, intrinsics = camera(size, azimuth=azimuth)
        calls, _ = rasterizer.prepare(splats, Frame(w2c[None], intrinsics[None], size), out=out)
        if replay is None:
            device.launch(calls)  # compiles and loads, which no capture may do
            replay = device.capture(lambda calls=calls: device.launch(calls))
        replay()
        expected = draw_on_cpu(scene, (w2c, intrinsics), size)
        assert_close(out.numpy(), {n: getattr(expected, n)[0] for n in NAMES})
