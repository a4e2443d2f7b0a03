"""Results that stay on the device, and rendering them there."""

import gc
import pickle
import threading
import warnings

import numpy as np
import pytest
import torch

from geolrm import Engine, Gaussians, GeoLRMError, InputError, render
from geolrm.engine.backends.cuda.gaussians import DeviceGaussians
from geolrm.engine.cuda import pinned
from geolrm.engine.rendering import cuda as rendering
from geolrm.engine.rendering import splat_plan
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders
from geolrm.engine.rendering.images import Renders
from geolrm.engine.system import extras, usable_gpu

FIELDS = ("means", "opacities", "scales", "quats", "colors")
IMAGES = ("rgb", "alpha", "depth")
SIZE = (40, 32)


def assert_same(got, expected, names, **tolerance):
    for name in names:
        np.testing.assert_allclose(getattr(got, name), getattr(expected, name), **tolerance)


def assert_gates(drawn, expected):
    """90 dB and 0.01, as between any two rasterizers here."""
    for name in IMAGES:
        error = np.abs(getattr(drawn, name) - getattr(expected, name))
        assert error.max() <= 0.01 and np.square(error).mean() <= 1e-9, name


def test_device_results_are_those_of_numpy_and_nothing_waits_for_them(devices, gpu_bundles, views):
    engine = Engine(gpu_bundles())
    expected = engine.run(*views)
    (device,) = devices
    device.log.clear()
    scene = engine.run(*views, output="device")
    assert isinstance(scene.gaussians, DeviceGaussians) and len(scene.gaussians) > 100
    assert repr(scene.gaussians) == f"DeviceGaussians({len(expected.gaussians):,}, colors)"
    assert device.count("synchronize") == 1 and device.count("download") == 1  # the count
    taken = {field: torch.from_dlpack(getattr(scene.gaussians, field)) for field in FIELDS}
    anchors, logits = torch.from_dlpack(scene.anchors), torch.from_dlpack(scene.logits)
    device.synchronize()
    for field in FIELDS:
        np.testing.assert_array_equal(taken[field], getattr(expected.gaussians, field))
    np.testing.assert_array_equal(anchors, expected.anchors)
    np.testing.assert_array_equal(logits, expected.logits)


def test_numpy_copies_with_one_wait(devices, gpu_bundles, views, tmp_path):
    engine = Engine(gpu_bundles())
    scene = engine.run(*views, output="device")
    devices[0].log.clear()
    gaussians = scene.gaussians.numpy()
    assert isinstance(gaussians, Gaussians) and devices[0].count("synchronize") == 1
    host = scene.numpy()
    assert isinstance(host.gaussians.means, np.ndarray) and isinstance(host.anchors, np.ndarray)
    assert host.logits.shape == (8, 8, 8) and host.timings == scene.timings
    assert_same(host.gaussians, gaussians, FIELDS)
    scene.gaussians.save(tmp_path / "a.ply")
    assert len(Gaussians.load(tmp_path / "a.ply")) == len(scene.gaussians)
    assert len(scene.gaussians.select(np.arange(5))) == 5
    moved = scene.gaussians.transformed(np.diag([2.0, 2, 2, 1]))
    np.testing.assert_allclose(moved.means, 2 * gaussians.means, rtol=1e-6)


def test_device_results_survive_later_runs_while_anything_refers_to_them(
    devices, gpu_bundles, views
):
    engine = Engine(gpu_bundles())
    scene = engine.run(*views, output="device")
    kept, expected = torch.from_dlpack(scene.gaussians.means), scene.gaussians.means.numpy()
    del scene
    for limit in (30, 64):
        engine.run(views[0][::-1].copy(), views[1], max_tokens=limit, output="device")
    devices[0].synchronize()
    np.testing.assert_array_equal(kept, expected)


def test_graphs_recur_where_results_are_dropped_or_kept_in_turn(devices, rtx, views):
    engine = Engine(rtx[0])
    for _ in range(8):
        devices[0].log.clear()
        scene = engine.run(*views, output="device")
        torch.from_dlpack(scene.gaussians.means)
        kept = scene  # noqa: F841  the last one lives while the next is made
    assert devices[0].count("capture") == 0 and devices[0].count("engine") == 0
    assert devices[0].count("replay") > 0


def test_no_occupied_voxel_gives_empty_device_arrays(devices, gpu_bundles, views):
    engine = Engine(gpu_bundles())
    with pytest.warns(UserWarning, match="no voxel is occupied"):
        scene = run_empty(engine, views)
    assert isinstance(scene.gaussians, DeviceGaussians) and len(scene.gaussians) == 0
    assert scene.gaussians.numpy().means.shape == (0, 3)
    assert scene.render(size=SIZE).rgb.min() == 1  # white


def run_empty(engine, views):
    backend = engine._backend
    choose, backend.choose_anchors = (
        backend.choose_anchors,
        lambda *_: (backend.device.empty((0, 3), "float32"), 0),
    )
    try:
        return engine.run(*views, output="device")
    finally:
        backend.choose_anchors = choose


def test_on_the_cpu_the_arrays_are_numpys(bundles, views):
    engine = Engine(bundles["token"], threads=2)
    scene = engine.run(*views, output="device")
    assert isinstance(scene.gaussians, Gaussians) and isinstance(scene.anchors, np.ndarray)
    assert torch.from_dlpack(scene.gaussians.means).shape == (len(scene.gaussians), 3)
    assert scene.gaussians.numpy() is scene.gaussians
    drawn = scene.render(size=SIZE, output="device")
    assert isinstance(drawn, Renders) and drawn.numpy() is drawn
    with pytest.raises(InputError, match="output is 'torch'; it must be 'numpy' or 'device'"):
        engine.run(*views, output="torch")
    with pytest.raises(InputError, match="output is 'torch'; it must be 'numpy' or 'device'"):
        scene.render(output="torch")


@pytest.mark.parametrize("output", ["numpy", "device"])
def test_a_scene_is_drawn_where_it_was_made(devices, gpu_bundles, views, output):
    scene = Engine(gpu_bundles()).run(*views, output=output)
    (device,) = devices
    device.log.clear()
    drawn = scene.render(size=SIZE, background=(0.2, 0.5, 0.1))
    assert device.count("launch") > 10 and device.count("synchronize") == 1
    uploads = [event[1] for event in device.log if event[0] == "upload"]
    fetched = [event[1] for event in device.log if event[0] == "download"]
    splats = [4 * n * len(scene.gaussians) for n in (3, 1, 3, 4, 3)]
    cameras = 3 * splat_plan.VIEW_BYTES
    assert sorted(uploads) == sorted([cameras, *(splats if output == "numpy" else [])])
    assert fetched == [drawn.rgb.nbytes, drawn.alpha.nbytes, drawn.depth.nbytes]
    expected = scene.render(size=SIZE, background=(0.2, 0.5, 0.1), backend="cpu")
    assert isinstance(drawn, Renders) and np.ptp(drawn.alpha) > 0.5
    assert_gates(drawn, expected)
    device.log.clear()
    scene.render(size=SIZE)  # packed once
    assert [event[1] for event in device.log if event[0] == "upload"] == [cameras]


def test_images_stay_on_the_device_or_go_where_they_are_told(devices, gpu_bundles, views):
    scene = Engine(gpu_bundles()).run(*views, output="device")
    expected = scene.render(size=SIZE)
    (device,) = devices
    device.log.clear()
    images = scene.render(size=SIZE, output="device")
    assert isinstance(images, DeviceRenders) and device.count("synchronize") == 0
    rgb = torch.from_dlpack(images.rgb)
    device.synchronize()
    np.testing.assert_array_equal(rgb, expected.rgb)
    assert scene.render(size=SIZE, out=images) is images
    assert_same(images.numpy(), expected, IMAGES, rtol=0)
    out = Renders.empty(3, SIZE)
    assert scene.gaussians.render(scene.views, SIZE, out=out) is out
    assert_same(out, expected, IMAGES, rtol=0)
    with pytest.raises(InputError, match=r"out.rgb is float32 \[2, 32, 40, 3\]; it must be contig"):
        scene.render(size=SIZE, backend="cuda", out=Renders.empty(2, SIZE))


def test_any_gaussians_are_drawn_on_a_gpu_that_is_asked_for(devices, engine, views):
    scene = engine.run(*views)
    assert devices == []
    drawn = scene.gaussians.render(scene.views, SIZE, backend="cuda", device=1)
    (device,) = devices
    assert device.index == 1
    assert_gates(drawn, scene.render(size=SIZE))
    render(scene.gaussians, scene.views, SIZE, backend="cuda", device=1)
    assert len(devices) == 1  # one device for all
    with pytest.raises(InputError, match="backend is 'tpu'; it must be one of auto, cpu, cuda"):
        scene.render(backend="tpu")


def test_images_come_back_in_pinned_memory(devices, engine, views, monkeypatch):
    monkeypatch.setattr(pinned, "SMALLEST", 1 << 10)
    scene = engine.run(*views)
    drawn = render(scene.gaussians, scene.views, SIZE, backend="cuda")
    assert all(pinned.is_pinned(getattr(drawn, name)) for name in IMAGES)
    (device,) = devices
    assert device.count("direct download") == 3 and device.count("download") == 0
    assert_gates(drawn, render(scene.gaussians, scene.views, SIZE, backend="cpu"))


def test_what_the_gpu_cannot_draw_is_drawn_on_the_cpu_with_a_sentence(devices, gpu_bundles, views):
    scene = Engine(gpu_bundles()).run(*views, output="device")
    (device,) = devices
    device.free = sum(device.allocated)  # nothing is left for the workspace
    with pytest.warns(UserWarning) as caught:
        drawn = scene.render(size=SIZE)
    assert [str(warning.message) for warning in caught] == [
        "rendering on the CPU instead of the GPU: the GPU double is full"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(drawn, scene.render(size=SIZE, backend="cpu"), IMAGES, rtol=0)
    for options in ({"backend": "cuda"}, {"output": "device"}):
        with pytest.raises(GeoLRMError, match="the GPU double is full"):
            scene.render(size=SIZE, **options)
    device.free = 1 << 40
    assert_gates(scene.render(size=SIZE), drawn)  # another time


def test_a_gpu_that_is_asked_for_and_missing(monkeypatch, engine, views):
    scene = engine.run(*views)

    def missing(index):
        raise GeoLRMError("no NVIDIA driver was found")

    monkeypatch.setattr(usable_gpu, "present_gpu", missing)
    with pytest.raises(GeoLRMError) as caught:
        scene.render(backend="cuda")
    assert str(caught.value) == (
        "rendering with the backend cuda needs an NVIDIA GPU, but no NVIDIA driver was found; "
        "install a driver of CUDA 13.0 or later, or render with the backend cpu"
    )


def test_packages_that_rendering_needs(monkeypatch, devices, engine, views):
    monkeypatch.setattr(extras, "installed_version", lambda name: None)
    with pytest.raises(GeoLRMError) as caught:
        engine.run(*views).render(backend="cuda")
    assert str(caught.value) == (
        "rendering with the backend cuda needs cuda-core, which is not installed; run: "
        "pip install 'geolrm[gpu]'"
    )


@pytest.mark.parametrize("output", ["numpy", "device"])
def test_scenes_outlive_their_engine_and_hold_no_more_than_their_own_memory(
    devices, gpu_bundles, views, output
):
    engine = Engine(gpu_bundles())
    scene = engine.run(*views, output=output)
    pool = devices[0].pool
    assert pool.idle_bytes > 0
    del engine
    gc.collect()
    devices[0].synchronize()
    assert pool.idle_bytes == 0
    drawn, copied = scene.render(size=SIZE), pickle.loads(pickle.dumps(scene))
    assert pool.idle_bytes == 0 and copied.gpu is None
    assert isinstance(copied.gaussians, Gaussians) and isinstance(copied.logits, np.ndarray)
    assert_gates(drawn, copied.render(size=SIZE))


def test_rendering_waits_for_its_turn(devices, gpu_bundles, views):
    """Nothing may be queued while a run captures its graphs on the same stream."""
    engine = Engine(gpu_bundles())
    scene = engine.run(*views)
    device = devices[0]
    drawn = []
    with device.lock:
        thread = threading.Thread(target=lambda: drawn.append(scene.render(size=SIZE)))
        device.log.clear()
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and device.log == []
    thread.join()
    assert len(drawn) == 1 and engine.lock is device.lock
    assert rendering.rasterizer_of(device) is rendering.rasterizer_of(device)
