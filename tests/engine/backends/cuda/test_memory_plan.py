import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrc.cuda import emulation
from geolrm import Engine
from geolrm.engine.backends.cuda import onnxruntime_segment
from geolrm.engine.backends.cuda.memory_plan import plan_memory
from geolrm.engine.backends.cuda.rope import rope_calls
from geolrm.engine.cuda.pool import Pool, rounded
from geolrm.engine.geometry.voxel_grid import rope_indices, voxel_centres


def test_a_pool_lends_the_lowest_idle_address_of_a_size():
    taken = []
    pool = Pool(lambda size: (taken.append(size) or 1000 * len(taken), None))
    a, b = pool.take(100), pool.take(200)
    assert (a.address, b.address, taken) == (1000, 2000, [256, 256])
    del b, a
    assert pool.idle_bytes == 512
    first, second = pool.take(256), pool.take(1)
    assert (first.address, second.address) == (1000, 2000)
    assert taken == [256, 256]


def test_a_pool_keeps_memory_while_somebody_needs_it_again():
    pool = Pool(lambda size: (1000, None))
    pool.start_keeping()
    pool.start_keeping()
    for idle in (256, 0):  # the last one to go takes what still comes back
        loan = pool.take(100)
        pool.stop_keeping()
        del loan
        assert pool.idle_bytes == idle
    pool.start_keeping()
    pool.take(100)
    assert pool.idle_bytes == 256


@given(st.integers(0, 2**40))
def test_sizes_are_rounded_by_an_eighth_at_most(size):
    assert rounded(size) % 256 == 0
    assert size <= rounded(size) <= max(size * 9 / 8 + 256, 256)


@pytest.mark.parametrize(("side", "scale"), [(128, 0.5), (128, 1.0), (32, 0.5)])
def test_rope_indices_are_those_of_the_cpu(side, scale):
    positions = voxel_centres(side).reshape(-1, 3)[:: 61 if side > 32 else 7].copy()
    indices = np.full(positions.shape, -7, np.int64)
    emulation.run(rope_calls(
        positions.ctypes.data, indices.ctypes.data, tokens=len(positions), grid_size=side,
        xyz_scale=scale,
    ))  # fmt: skip
    np.testing.assert_array_equal(indices, rope_indices(positions, side, scale))


def test_each_session_of_onnx_runtime_has_a_handle_of_cublas(
    devices, gpu_bundles, rtx, monkeypatch
):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    manifest = Engine(gpu_bundles()).manifest
    plan = plan_memory(manifest, manifest.gpu, 3, 64)
    assert plan.libraries == len(manifest.gpu.segments) * onnxruntime_segment.handle_bytes() > 0
    assert plan.total == sum(size for name, size in plan.rows() if name != "total")
    assert plan.of_a_run == plan.total - plan.weights
    engines = Engine(rtx[0]).manifest
    assert plan_memory(engines, engines.gpu, 3, 64).libraries == 0
