"""Whole runs on an emulated device against the CPU engine: what is computed, and what is queued."""

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from doubles.device import rewrite_manifest

from geolrm import Engine, GeoLRMError
from geolrm.engine import engine as engine_module
from geolrm.engine.backends.cuda import encoding, tensorrt_segment
from geolrm.engine.backends.cuda.memory_plan import plan_memory
from geolrm.engine.backends.cuda.tensorrt_segment import eager_specialization
from geolrm.engine.bundle.bundle import StoredSegment
from geolrm.engine.cuda import pinned
from geolrm.engine.cuda.pinned import is_pinned
from geolrm.engine.errors import DeviceMemoryError
from geolrm.engine.system.stopwatch import Stopwatch

FIELDS = ("means", "opacities", "scales", "quats", "colors")
TOLERANCE = {"fp32": 2e-5, "fp16": 2e-2}


def assert_close(scene, expected, tolerance):
    np.testing.assert_array_equal(scene.anchors, expected.anchors)
    np.testing.assert_allclose(scene.logits, expected.logits, atol=5 * tolerance)
    for field in FIELDS:
        np.testing.assert_allclose(
            getattr(scene.gaussians, field), getattr(expected.gaussians, field), atol=tolerance
        )


def test_inputs_are_uploaded_once_and_the_host_waits_for_the_count_and_the_results(
    devices, gpu_bundles, views
):
    engine = Engine(gpu_bundles())
    (device,) = devices
    device.log.clear()
    scene = engine.run(*views)
    uploads = [event[1] for event in device.log if event[0] == "upload"]
    count, pixels = 3, 56 * 56
    assert sorted(uploads) == sorted(
        4 * n
        for n in (
            count * 3 * pixels,
            count * 16,
            count * 9,
            count * 12,
        )
    )  # images, c2w, intrinsics, projection
    waits = [index for index, event in enumerate(device.log) if event == "synchronize"]
    assert len(waits) == 2 and waits[1] == len(device.log) - 1
    assert device.log[waits[0] - 1] == ("download", 8)  # kept and occupied
    results = [event for event in device.log[waits[0] + 1 :] if "download" in event[0]]
    assert len(results) == 7
    assert sum(event[1] for event in results) == (
        scene.anchors.nbytes + scene.logits.nbytes
        + sum(getattr(scene.gaussians, field).nbytes for field in FIELDS)
    )  # fmt: skip


def test_images_go_up_as_bytes_where_bytes_say_all(devices, gpu_bundles, views):
    _, cameras = views
    images = np.random.default_rng(0).integers(0, 256, (3, 56, 56, 3), dtype=np.uint8)
    engine = Engine(gpu_bundles())
    (device,) = devices
    device.log.clear()
    scene = engine.run(images, cameras)
    uploads = [event[1] for event in device.log if event[0] == "upload"]
    assert sorted(uploads) == [4 * 3 * n for n in (9, 12, 16)] + [images.nbytes]
    assert device.count("launch") > 1 and ("launch", "images_from_bytes") in device.log
    as_floats = replace(engine.prepare(images, cameras), pixels=None)
    assert_close(scene, engine.run_views(as_floats, engine.checks.settings(), Stopwatch()), 0)


def test_results_lie_in_pinned_memory_that_is_pinned_once(devices, gpu_bundles, views, monkeypatch):
    monkeypatch.setattr(pinned, "SMALLEST", 1 << 10)  # the Gaussians here are few
    engine = Engine(gpu_bundles())
    (device,) = devices
    scene = engine.run(*views)
    large = (getattr(scene.gaussians, field) for field in FIELDS)
    large = [array for array in large if array.nbytes >= 1 << 10]
    assert len(large) == len(FIELDS) and all(is_pinned(array) for array in large)
    sizes = [event[1] for event in device.log if event[0] == "direct download"]
    logits = [scene.logits.nbytes] if scene.logits.nbytes >= 1 << 10 else []
    assert sorted(sizes) == sorted([*logits, *(array.nbytes for array in large)])
    assert device.count("pin") == len(sizes)
    means = scene.gaussians.means.copy()
    held = scene.gaussians.means
    del scene, large
    device.log.clear()
    again = engine.run(*views)
    assert device.count("pin") == 1  # in place of what is still held
    np.testing.assert_array_equal(held, means)
    np.testing.assert_array_equal(again.gaussians.means, means)


def test_the_next_run_allocates_nothing(devices, gpu_bundles, views):
    engine = Engine(gpu_bundles())
    first = engine.run(*views)
    allocated = len(devices[0].allocated)
    second = engine.run(*views)
    assert len(devices[0].allocated) == allocated
    assert_close(second, first, 0)


def test_stages_give_arrays_that_numpy_reads(devices, gpu_bundles, views):
    engine = Engine(gpu_bundles())
    prepared = engine.prepare(*views)
    features = engine.encode(prepared)
    assert (
        features.proposal.__cuda_array_interface__["shape"] == np.asarray(features.proposal).shape
    )
    proposal = engine.propose(features, prepared)
    assert np.asarray(proposal.logits).shape == (8, 8, 8)


def test_engines_run_eagerly_then_are_captured_then_replayed(devices, rtx, gpu_bundles, views):
    folder, module = rtx
    engine = Engine(folder)
    assert engine.backend == "tensorrt-rtx"
    (device,) = devices
    expected = Engine(gpu_bundles(), backend="onnxruntime").run(*views)
    kinds = []
    for _ in range(6):
        device.log.clear()
        assert_close(engine.run(*views), expected, TOLERANCE["fp32"])
        kinds.append({kind: device.count(kind) for kind in ("engine", "capture", "replay")})
    graphs = len(engine.manifest.gpu.stages)
    assert kinds[0] == {"engine": len(module.engines), "capture": 0, "replay": 0}
    assert sum(kind["capture"] for kind in kinds) == graphs
    assert kinds[-1] == {"engine": 0, "capture": 0, "replay": graphs}
    assert device.count("synchronize") == 2


def test_one_graph_of_an_encoder_serves_all_batches(devices, rtx, gpu_bundles, views, monkeypatch):
    monkeypatch.setattr(encoding, "AT_ONCE", 1)
    engine = Engine(rtx[0])
    expected = Engine(gpu_bundles(), backend="onnxruntime").encode(engine.prepare(*views))
    encoders = len(engine.manifest.gpu.stages) - 2
    (device,) = devices
    captured = 0
    for _ in range(3):
        device.log.clear()
        features = engine.encode(engine.prepare(*views))
        captured += device.count("capture")
        np.testing.assert_allclose(
            np.asarray(features.proposal), expected.proposal, atol=TOLERANCE["fp32"]
        )
    assert captured == encoders and device.count("replay") == 3 * encoders


def test_views_are_encoded_in_few_batches_of_about_one_size():
    sizes = {1: [1], 8: [8], 9: [5, 4], 20: [7, 7, 6], 21: [7, 7, 7]}
    for views, expected in sizes.items():
        batches = encoding.view_batches(views)
        assert [batch.stop - batch.start for batch in batches] == expected
        assert encoding.largest_batch(views) == max(expected)
        assert (batches[0].start, batches[-1].stop) == (0, views)


def test_a_graph_is_kept_for_each_exact_number_of_anchors(devices, rtx, views):
    engine = Engine(rtx[0])
    for count in (10, 11) * 4:
        devices[0].log.clear()
        assert len(engine.run(*views, max_tokens=count).anchors) == count
    assert devices[0].count("capture") == 0 and devices[0].count("engine") == 0


def test_a_captured_context_is_never_changed_again(devices, rtx, views):
    folder, module = rtx
    engine = Engine(folder)
    for count in (10, 10, 10, 12):
        engine.run(*views, max_tokens=count)
    last = module.engines[-1].contexts
    shapes = [next(shape[0] for shape in c.shapes.values() if shape[0] in (10, 12)) for c in last]
    assert shapes == [12, 10]  # the shared one moved on, the captured one did not


def test_what_cannot_be_captured_yet_is_tried_again(devices, rtx, views):
    folder, module = rtx
    module.runs_before_capture = 3
    engine = Engine(folder)
    captures, settled = [], []
    for _ in range(8):
        devices[0].log.clear()
        engine.run(*views)
        captures.append(devices[0].count("capture"))
        settled.append(all(stage.settled for stage in engine._backend.stages.values()))
    assert captures[:3] == [0, 0, 0] and max(captures) > 0 and captures[-1] == 0
    last = max(run for run, count in enumerate(captures) if count)
    assert settled[1:] == [run >= last for run in range(1, 8)]


def test_kernels_of_shapes_are_compiled_at_once_where_it_is_asked_for(rtx, views):
    folder, module = rtx
    Engine(folder).run(*views)
    assert set(module.specialization) == {"lazy"}
    module.specialization.clear()
    with eager_specialization():
        engine = Engine(folder)
    engine.run(*views)  # contexts made later are like those made before
    engine.run(*views)
    assert set(module.specialization) == {"eager"}


def test_what_cannot_be_captured_at_all_is_tried_once(devices, rtx, views):
    engine = Engine(rtx[0])
    devices[0].captures = False
    counts = []
    for _ in range(4):
        devices[0].log.clear()
        scene = engine.run(*views, max_tokens=10)
        counts.append(devices[0].count("capture"))
    assert len(scene.gaussians) and devices[0].count("replay") == 0
    assert sum(counts) > 0 and counts[-1] == 0


def test_scratch_that_is_held_is_not_asked_for_again(devices, gpu_bundles, views):
    engine = Engine(gpu_bundles())
    (device,) = devices
    engine.run(*views, max_tokens=8)
    planned = plan_memory(engine.manifest, engine.manifest.gpu, 3, 64)
    held = engine._backend._arena.nbytes + planned.scratch + planned.libraries
    device.free_bytes = lambda: planned.of_a_run - held
    assert len(engine.run(*views, max_tokens=64).anchors) == 64


def test_too_little_memory_names_what_fits(devices, gpu_bundles, views):
    engine = Engine(gpu_bundles())
    (device,) = devices
    need = {n: plan_memory(engine.manifest, engine.manifest.gpu, 3, n).of_a_run for n in (40, 64)}
    device.free_bytes = lambda: need[40] - engine._backend._arena.nbytes
    with pytest.raises(GeoLRMError, match=r"3 views with 64 anchors need .* GB of GPU memory"):
        engine.run(*views, max_tokens=64)
    with pytest.raises(GeoLRMError, match=r"3 views with --max-tokens 40 fit"):
        engine.run(*views, max_tokens=64)
    assert len(engine.run(*views, max_tokens=40).anchors) == 40
    device.free_bytes = lambda: 0
    with pytest.raises(GeoLRMError, match="not even the smallest setting fits"):
        engine.run(*views, max_tokens=64)


def test_an_engine_that_does_not_load_says_why(devices, rtx):
    runtime = tensorrt_segment.Runtime("tensorrt-rtx")
    with pytest.raises(GeoLRMError) as caught:
        runtime.load(StoredSegment(Path("x.plan"), b"damaged"), None)
    assert str(caught.value) == "tensorrt-rtx 1.7.1 cannot load x.plan: the plan is damaged"


def test_a_shape_that_an_engine_refuses(devices, rtx, views):
    folder, module = rtx
    module.refuse = ("anchors",)
    with pytest.raises(GeoLRMError, match=r"tensorrt-rtx cannot take anchors with shape \[\d+, 3"):
        Engine(folder).run(*views)


def test_auto_takes_the_cpu_where_an_engine_does_not_load(devices, rtx, views):
    folder, _ = rtx
    refused = "tensorrt-rtx 1.7.1 cannot load {}: the plan is damaged"

    def change(content):
        artifact = content["artifacts"][1]
        step = next(s for s in artifact["stages"]["proposal"]["steps"] if "files" in s)
        (folder / "x.plan").write_bytes(b"damaged")
        (old,) = step["files"].values()
        step["files"] = {"sm_89": "x.plan"}
        artifact["engines"]["x.plan"] = artifact["engines"].pop(old)
        digest = hashlib.sha256(b"damaged").hexdigest()
        content["files"]["x.plan"] = {"bytes": 7, "sha256": digest}

    rewrite_manifest(folder, change)
    with pytest.raises(GeoLRMError, match=refused.format("x.plan")):
        Engine(folder, backend="tensorrt-rtx")
    engine = Engine(folder)
    assert engine.backend == "onnxruntime"
    assert engine.backend_reason == f"not tensorrt-rtx: {refused.format('x.plan')}"
    assert len(engine.run(*views, max_tokens=8).gaussians)


def test_a_gpu_without_memory_for_the_refinement_leaves_it_to_the_cpu(
    devices, gpu_bundles, views, monkeypatch
):
    real = engine_module.drop_hidden

    def full(gaussians, threads, gpu=None):
        if gpu is not None:
            raise DeviceMemoryError("the GPU has no 0.40 GB left")
        return real(gaussians, threads)

    expected = Engine(gpu_bundles(), backend="onnxruntime").run(*views, refine_steps=1)
    monkeypatch.setattr(engine_module, "drop_hidden", full)
    engine = Engine(gpu_bundles())
    with pytest.warns(UserWarning, match="refining on the CPU instead of the GPU: the GPU has no"):
        scene = engine.run(*views, refine_steps=1)
    assert len(scene.gaussians) == len(expected.gaussians)
    np.testing.assert_allclose(scene.gaussians.means, expected.gaussians.means, atol=1e-3)
    assert "refine" in scene.timings


def test_a_bundle_is_loaded_while_nothing_else_runs_on_its_gpu(devices, gpu_bundles, monkeypatch):
    Engine(gpu_bundles())
    (device,) = devices
    uploads = []
    real = device.upload

    def upload(array):
        taken = threading.Thread(target=lambda: uploads.append(device.lock.acquire(timeout=0.01)))
        taken.start()
        taken.join()
        return real(array)

    monkeypatch.setattr(device, "upload", upload)
    Engine(gpu_bundles())
    assert uploads and not any(uploads)
