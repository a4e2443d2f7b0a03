"""What the CUDA rasterizer has of its own: slabs and groups, its sort, arrays on the device."""

from types import SimpleNamespace

import numpy as np
import pytest
from csrc.cuda.emulated_device import EmulatedDevice
from csrc.cuda.emulation import address
from csrc.implementations import open_device, shuffle
from csrc.scenes import Arrays, Scene, assert_close, camera, cloud, draw, draw_on_device, of_view
from reference.rasterizer import Parameters

from csrc.cuda import emulation
from geolrm import _C
from geolrm.bench import splat_scenes
from geolrm.engine.cuda.launch import Call, Launch
from geolrm.engine.cuda.radix_sort import SORT, counts_bytes, sort_calls
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.splat_plan import BUDGET, SplatPlan

SIZE = (96, 80)
NAMES = ("rgb", "alpha", "depth")


@pytest.fixture(scope="module")
def gpu():
    return open_device("gpu")


def test_a_workspace_for_one_slab_of_one_camera_gives_the_same_bits(device):
    """Slabs, groups of cameras and the schedule decide when a splat is drawn, never what."""
    scene, size = cloud(5000, 3, low=0.004, high=0.03), (110, 70)
    cams = [camera(size, azimuth=a) for a in (0.0, 1.0, 2.5)]
    whole = draw_on_device(device, scene, cams, size)
    small = SplatPlan.of(5000, 3, size, budget=1 << 17)
    assert small.group == 1 and len(small.slabs) > 2
    assert SplatPlan.of(5000, 3, size).group == 3
    shuffle(device, 5)
    parts = draw_on_device(device, scene, cams, size, budget=1 << 17)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    for view, cam in enumerate(cams):
        expected = draw(scene, cam, size)
        assert_close(parts, of_view(expected), view=view)


def test_hidden_splats_set_no_bits_and_are_not_projected():
    """A wall that saturates every pixel hides all that the later slabs hold."""
    rng = np.random.default_rng(0)
    wall, behind, size = 4096, 4096, (64, 64)
    depth = np.concatenate([np.full(wall, 1.0), np.full(behind, 2.0)])
    means = np.stack([*rng.uniform(-0.7, 0.7, (2, wall + behind)), depth], 1).astype(np.float32)
    f = lambda *shape: np.ones(shape, np.float32)  # noqa: E731
    scene = Scene(means, 0.95 * f(len(means)), 0.2 * f(len(means), 3), f(len(means), 4),
                  rng.uniform(0, 1, (len(means), 3)).astype(np.float32))  # fmt: skip
    cam = np.eye(4), np.array([[50.0, 0, 32], [0, 50, 32], [0, 0, 1]])
    device = EmulatedDevice()
    rasterizer = SplatRasterizer(device, budget=400_000)
    rasterizer.render_frame(rasterizer.pack(Arrays(scene)), Frame(cam[0][None], cam[1][None], size))
    plan = rasterizer._plan
    assert plan.slabs == ((0, 4096), (4096, 8192))
    offset, nbytes = plan.layout["records"]
    records = rasterizer._workspace.values[offset : offset + nbytes].view(np.float32)
    assert (records.reshape(-1, 12)[:100, 6] == 1.0).all()  # depths: nothing overwrote the wall
    images = draw_on_device(device, scene, [cam], size)
    assert_close(images, of_view(draw(scene, cam, size)))


@pytest.mark.parametrize("count, same", [(1, 1), (4096, 7), (13000, 40), (13000, 100000)])
def test_the_sort_is_stable_and_drops_what_is_not_visible(count, same):
    rng = np.random.default_rng(count)
    # Few values, spread over all bytes, so that there are many ties.
    values = rng.integers(0, 0x7F800000, same, dtype=np.uint32)
    keys = rng.choice(values, (2, count))
    keys[rng.random(keys.shape) < 0.2] = 0xFFFFFFFF
    ids = np.tile(np.arange(count, dtype=np.uint32), (2, 1))
    arrays = {"keys": keys.copy(), "ids": ids.copy(), "other_keys": keys * 0, "other_ids": ids * 0}
    arrays |= {
        "counts": np.full(counts_bytes(count, 2) // 4, 7, np.uint32),
        "visible": np.full(2, -9, np.int32),
    }
    emulation.run(sort_calls({n: address(array) for n, array in arrays.items()}, count, 2), count)
    for camera_keys, out_keys, out_ids, visible in zip(
        keys, arrays["keys"], arrays["ids"], arrays["visible"], strict=True
    ):
        order = np.argsort(camera_keys, kind="stable")[: (camera_keys != 0xFFFFFFFF).sum()]
        assert visible == len(order)
        np.testing.assert_array_equal(out_ids[:visible], order)
        np.testing.assert_array_equal(out_keys[:visible], camera_keys[order])


def test_a_splat_that_is_no_number_is_not_drawn(device):
    """Arrays that are on the device already are not checked."""
    scene = cloud(50, 6)
    good = draw(scene, camera(SIZE), SIZE)
    names = ("means", "opacities", "scales", "quats", "colors")
    for name in names:
        extra = {n: np.concatenate([a, a[:1]]) for n, a in scene.arrays().items()}
        extra[name][-1:] = np.nan
        rasterizer = SplatRasterizer(device)
        w2c, intrinsics = camera(SIZE)
        packed = rasterizer.pack(SimpleNamespace(**{n: device.upload(extra[n]) for n in names}))
        image = rasterizer.render_frame(packed, Frame(w2c[None], intrinsics[None], SIZE)).numpy()
        assert_close(image, of_view(good))


def test_a_launch_too_large_is_refused_by_the_device():
    call = Call(SORT, "count_keys", Launch((1, 1, 1), (2048, 1, 1)), ())
    with pytest.raises(emulation.EmulationError, match="a launch that no device takes"):
        emulation.run([call])


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(24))
def test_larger_random_scenes(gpu, seed):
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
    image = draw_on_device(gpu, scene, cams, size, p=p)
    for view, cam in enumerate(cams):
        expected = draw(scene, cam, size, p=p)
        assert_close(image, of_view(expected), view=view)


@pytest.mark.gpu
def test_needles_and_huge_splats_in_a_larger_image(gpu):
    size = (400, 300)
    needles, huge = cloud(300, 8, extent=1.0), cloud(600, 4, low=0.5, high=5.0)
    needles.scales[:] = np.float32([3.0, 1e-4, 1e-4])
    for scene in (needles, huge):
        expected = draw(scene, camera(size), size)
        image = draw_on_device(gpu, scene, [camera(size)], size)
        assert_close(image, of_view(expected))


@pytest.mark.gpu
@pytest.mark.parametrize("px", [512, 1024])
def test_half_a_million_splats(gpu, px):
    scene = splat_scenes.ring_and_ball(524288)
    w2c, intrinsics = scene.w2c[None], scene.intrinsics(px, px)[None]
    rasterizer = SplatRasterizer(gpu)
    frame = Frame(w2c, intrinsics, (px, px))
    image = rasterizer.render_frame(scene, frame).numpy()
    expected = render_frame(_C.SplatModel(**scene.splats()), frame)
    assert_close(image, of_view(expected))


@pytest.mark.gpu
def test_slabs_and_groups_never_change_a_bit(gpu):
    scene, size = cloud(200_000, 3, low=0.002, high=0.02), (640, 360)
    cams = [camera(size, azimuth=a) for a in (0.0, 1.0, 2.5)]
    whole = draw_on_device(gpu, scene, cams, size)
    for budget in (BUDGET, 4 << 20):
        again = draw_on_device(gpu, scene, cams, size, budget=budget)
        for name in NAMES:
            np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


@pytest.mark.gpu
def test_a_captured_frame_follows_its_cameras(gpu):
    scene, size = cloud(5000, 1), (320, 200)
    rasterizer, out = SplatRasterizer(gpu), DeviceRenders.empty(gpu, 1, size)
    splats = rasterizer.pack(Arrays(scene))
    frame = None
    for azimuth in (0.1, 1.7, 4.0):
        w2c, intrinsics = camera(size, azimuth=azimuth)
        view = Frame(w2c[None], intrinsics[None], size)
        calls, _ = rasterizer.prepare(splats, view, out=out)
        if frame is None:
            gpu.launch(calls)  # compiles and loads, which no capture may do
            frame = gpu.capture(lambda calls=calls: gpu.launch(calls))
        frame()
        expected = draw(scene, (w2c, intrinsics), size)
        assert_close(out.numpy(), of_view(expected))
