"""The CUDA rasterizer on an emulated device against the CPU's, over its own hard scenes."""

from types import SimpleNamespace

import numpy as np
import pytest
from csrc.cuda.emulated_splats import Arrays, EmulatedDevice, draw
from csrc.cuda.emulation import address
from csrc.scenes import Scene, assert_close, camera, cloud
from csrc.scenes import draw as draw_on_cpu
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.rasterizer import Parameters

from csrc.cuda import emulation
from geolrm.engine.cuda.launch import Call, Launch
from geolrm.engine.cuda.radix_sort import SORT, counts_bytes, sort_calls
from geolrm.engine.rendering.cuda_rasterizer import SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.splat_plan import SplatPlan

SIZE = (96, 80)
NAMES = ("rgb", "alpha", "depth")


def compare(scene, cams, size=SIZE, *, p=None, least=90.0, **options):
    image = draw(scene, cams, size, p=p, **options)
    for view, cam in enumerate(cams):
        expected = draw_on_cpu(scene, cam, size, p=p)
        assert_close(image, {n: getattr(expected, n)[0] for n in NAMES}, view=view, least=least)
    return image


def one(mean=(0, 0, 0), opacity=0.9, scale=(0.1, 0.1, 0.1), quat=(1, 0, 0, 0)) -> Scene:
    f = lambda a: np.asarray([a], np.float32)  # noqa: E731
    return Scene(f(mean), f(opacity), f(scale), f(quat), f((0.2, 0.5, 0.9)))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 300),
    seed=st.integers(0, 2**31),
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    low=st.floats(0.0005, 0.05),
    ratio=st.floats(1, 200),
    radius=st.floats(0.0, 3.0),
    fov=st.floats(0.2, 2.5),
    antialiased=st.booleans(),
    sh_count=st.sampled_from([0, 1, 4, 9, 16]),
    views=st.integers(1, 3),
)
def test_draws_what_the_cpu_draws(
    count, seed, width, height, low, ratio, radius, fov, antialiased, sh_count, views
):
    scene, size = cloud(count, seed, low=low, high=low * ratio, sh_count=sh_count), (width, height)
    rng = np.random.default_rng(seed)
    cams = [
        camera(
            size,
            azimuth=rng.uniform(0, 6.28),
            elevation=rng.uniform(-1.5, 1.5),
            radius=radius,
            fov=fov,
            aspect=rng.uniform(0.5, 2),
            shift=rng.uniform(-0.6, 0.6, 2) * size,
        )
        for _ in range(views)
    ]
    p = Parameters(
        antialiased=antialiased,
        background=tuple(float(v) for v in rng.uniform(0, 1, 3).astype(np.float32)),
        near=float(rng.choice([0.01, 0.2])),
        eps2d=float(rng.choice([0.3, 0.0, 0.1])),
        alpha_max=float(rng.choice([0.99, 0.999])),
    )
    # One borderline alpha of 1/255 in a handful of pixels costs more than 90 dB.
    least = 90 if width * height > 2000 else 60
    compare(scene, cams, size, p=p, least=least, seed=seed % 1000)


def test_a_workspace_for_one_slab_of_one_camera_gives_the_same_bits():
    """Slabs, groups of cameras and the schedule decide when a splat is drawn, never what."""
    scene, size = cloud(5000, 3, low=0.004, high=0.03), (110, 70)
    cams = [camera(size, azimuth=a) for a in (0.0, 1.0, 2.5)]
    whole = draw(scene, cams, size)
    small = SplatPlan.of(5000, 3, size, budget=1 << 17)
    assert small.group == 1 and len(small.slabs) > 2
    assert SplatPlan.of(5000, 3, size).group == 3
    parts = draw(scene, cams, size, budget=1 << 17, seed=5)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    for view, cam in enumerate(cams):
        expected = draw_on_cpu(scene, cam, size)
        assert_close(parts, {n: getattr(expected, n)[0] for n in NAMES}, view=view)


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
    frame = Frame(cam[0][None], cam[1][None], size)
    rasterizer.render_frame(rasterizer.pack(Arrays(scene)), frame)
    plan = rasterizer._plan
    assert plan.slabs == ((0, 4096), (4096, 8192))
    offset, nbytes = plan.layout["records"]
    records = rasterizer._workspace.values[offset : offset + nbytes].view(np.float32)
    assert (records.reshape(-1, 12)[:100, 6] == 1.0).all()  # depths: nothing overwrote the wall
    compare(scene, [cam], size)


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


def test_equal_depths_keep_the_order_of_index():
    scene = cloud(400, 2, low=0.05, high=0.3)
    scene.means[:] = 0
    cam = camera(SIZE)
    image = compare(scene, [cam])
    for name, array in scene.arrays().items():
        setattr(scene, name, np.ascontiguousarray(array[::-1]))
    assert np.abs(compare(scene, [cam]).rgb - image.rgb).max() > 0.01


def test_empty_scene_is_background():
    p = Parameters(background=(0.25, 0.5, 0.75))
    image = draw(cloud(0, 0), [camera(SIZE)] * 2, SIZE, p=p)
    assert (image.rgb == np.float32([0.25, 0.5, 0.75])).all()
    assert not image.alpha.any() and not image.depth.any()


def test_all_behind():
    scene = cloud(100, 1)
    scene.means += np.float32([10, 4, 3])
    assert (draw(scene, [camera(SIZE, radius=1.0)], SIZE).rgb == 1).all()


@pytest.mark.parametrize(
    "scene",
    [
        one(opacity=0.0),
        one(opacity=1 / 255),
        one(opacity=0.0039),
        one(opacity=1.0),
        one(scale=(0, 0, 0)),
        one(scale=(1, 0, 0), quat=(0.3, -0.2, 0.7, 0.1)),
        one(scale=(10, 1e-6, 1e-6), quat=(0.3, -0.2, 0.7, 0.1)),
        one(scale=(1000, 1e-5, 1e-3), quat=(0.9, 0.2, 0.1, -0.4)),
        one(scale=(1000, 1000, 1000)),
        one(scale=(1e8, 1e8, 1e8)),
        one(quat=(1e-20, 3e-20, 2e-20, 1e-20), scale=(0.3, 0.1, 0.05)),
        one(mean=(1e6, -1e6, 1e6)),
        one(mean=(1.5, 0.6, 0.5), scale=(0.5, 0.5, 0.5)),
    ],
    ids=str,
)
def test_one_extreme_splat(scene):
    for eps2d in (0.3, 0.0):
        compare(scene, [camera(SIZE)], p=Parameters(eps2d=eps2d), least=80)


def test_needles():
    scene = cloud(300, 8, extent=1.0)
    scene.scales[:] = np.float32([3.0, 1e-4, 1e-4])
    compare(scene, [camera(SIZE)])
    compare(scene, [camera((200, 150))], (200, 150))


def test_inside_the_cloud_and_across_the_near_plane():
    compare(cloud(2000, 5, low=0.005, high=0.05), [camera(SIZE, radius=0.05, fov=1.5)])
    scene = cloud(1500, 9, low=0.001, high=0.3)
    for near in (0.01, 0.3):
        p = Parameters(near=near, alpha_max=0.999)
        compare(scene, [camera(SIZE, radius=0.2, fov=1.2)], p=p)


def test_huge_splats_in_front_of_each_other():
    compare(cloud(600, 4, low=0.5, high=5.0), [camera(SIZE, shift=(30, -20))])


def test_a_splat_that_is_no_number_is_not_drawn():
    """Arrays that are on the device already are not checked."""
    scene = cloud(50, 6)
    good = draw_on_cpu(scene, camera(SIZE), SIZE)
    names = ("means", "opacities", "scales", "quats", "colors")
    for name in names:
        extra = {n: np.concatenate([a, a[:1]]) for n, a in scene.arrays().items()}
        extra[name][-1:] = np.nan
        device = EmulatedDevice()
        rasterizer = SplatRasterizer(device)
        w2c, intrinsics = camera(SIZE)
        packed = rasterizer.pack(SimpleNamespace(**{n: device.upload(extra[n]) for n in names}))
        frame = Frame(w2c[None], intrinsics[None], SIZE)
        image = rasterizer.render_frame(packed, frame).numpy()
        assert_close(image, {n: getattr(good, n)[0] for n in NAMES})


def test_a_launch_too_large_is_refused_by_the_device():
    call = Call(SORT, "count_keys", Launch((1, 1, 1), (2048, 1, 1)), ())
    with pytest.raises(emulation.EmulationError, match="a launch that no device takes"):
        emulation.run([call])
