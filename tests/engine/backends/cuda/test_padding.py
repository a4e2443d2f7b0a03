"""Anchors in buckets: any number of one is the replay of one graph, and padding changes nothing."""

import numpy as np
import pytest
from doubles.tensorrt_runtime import make_module
from hypothesis import given
from hypothesis import strategies as st
from samples.gpu_bundles import as_engines, write_tiny_gpu_bundle

from geolrm import Engine
from geolrm.engine.backends.cuda import tensorrt_segment
from geolrm.engine.backends.cuda.memory_plan import plan_memory
from geolrm.engine.backends.cuda.padding import SMALLEST, bucket
from geolrm.engine.bundle.plan import ANCHOR_COUNT

FIELDS = ("means", "opacities", "scales", "quats", "colors")
ROUNDING = 1e-5  # of float32: sums over more keys are split elsewhere


@given(st.integers(1, 16384), st.integers(1, 16384))
def test_buckets_hold_all_and_are_few(anchors, most):
    anchors = min(anchors, most)
    padded = bucket(anchors, most)
    assert anchors <= padded <= most
    assert padded - anchors < max(SMALLEST, anchors / 16 + 1)
    assert bucket(padded, most) == padded


def test_there_are_few_buckets():
    assert sorted({bucket(n, 1000) for n in range(1, 1001)}) == [*range(64, 1000, 64), 1000]
    assert len({bucket(n, 16384) for n in range(1, 16385)}) == 16 + 16 * 4


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    return write_tiny_gpu_bundle(tmp_path_factory.mktemp("masked") / "bundle", buckets=True)


@pytest.fixture
def replayed(devices, monkeypatch, masked, tmp_path):
    """A bundle of engines that read the number of anchors, and the device."""
    monkeypatch.setenv("GEOLRM_CACHE", str(tmp_path / "cache"))
    folder = as_engines(masked, tmp_path / "rtx")
    module = make_module(folder, lambda: devices[0])
    monkeypatch.setattr(tensorrt_segment, "load_module", lambda package: module)
    return folder, devices


def test_stages_tell_whether_their_work_is_replayed_by_now(replayed, views):
    engine = Engine(replayed[0])
    for runs in range(1, 8):
        engine.run(*views, max_tokens=50)
        settled = {name: stage.settled for name, stage in engine._backend.stages.items()}
        if all(settled.values()) and runs > 1:
            return
    raise AssertionError(f"never settled: {settled}")


def run_all(engine, views, counts, device):
    scenes = []
    for count in counts:
        device.log.clear()
        scenes.append(engine.run(*views, max_tokens=count))
    return scenes


def test_another_number_of_the_bucket_is_a_replay_with_the_results_of_its_own(
    replayed, gpu_bundles, views
):
    folder, devices = replayed
    engine, plain = Engine(folder), Engine(gpu_bundles(), backend="onnxruntime")
    assert engine.backend == "tensorrt-rtx"
    (device,) = devices
    run_all(engine, views, [60, 60, 60], device)
    for count in (50, 17, 64, 1):
        (scene,) = run_all(engine, views, [count], device)
        expected = plain.run(*views, max_tokens=count)
        assert len(scene.anchors) == count == len(expected.anchors)
        np.testing.assert_array_equal(scene.anchors, expected.anchors)
        assert device.count("engine") == 0 and device.count("capture") == 0, count
        assert device.count("replay") == len(engine.manifest.gpu.stages)
        for field in FIELDS:
            got, wanted = getattr(scene.gaussians, field), getattr(expected.gaussians, field)
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, atol=2 * ROUNDING, err_msg=field)


def test_what_lies_behind_the_anchors_never_counts(replayed, views):
    """The same run again, after one that left other anchors in what is now padding."""
    folder, devices = replayed
    engine = Engine(folder)
    first, _, again = run_all(engine, views, [40, 64, 40], devices[0])
    for field in FIELDS:
        np.testing.assert_array_equal(
            getattr(first.gaussians, field), getattr(again.gaussians, field)
        )


def test_results_that_stay_on_the_device_are_without_padding(replayed, views):
    scene = Engine(replayed[0]).run(*views, max_tokens=10, output="device")
    per_anchor = len(scene.gaussians) // 10
    assert len(scene.gaussians) == 10 * per_anchor > 0
    assert scene.gaussians.means.shape == (10 * per_anchor, 3)


def test_the_memory_of_a_bucket_is_planned(masked, gpu_bundles, devices):
    manifest = Engine(masked, backend="onnxruntime").manifest
    assert manifest.gpu.stages["reconstruction"].reads(ANCHOR_COUNT)
    sizes = [plan_memory(manifest, manifest.gpu, 3, n) for n in (65, 100, 128)]
    assert sizes[0].activations == sizes[1].activations == sizes[2].activations
    plain = Engine(gpu_bundles(), backend="onnxruntime").manifest
    assert not plain.gpu.stages["reconstruction"].reads(ANCHOR_COUNT)
    assert plan_memory(plain, plain.gpu, 3, 65).activations < sizes[0].activations
