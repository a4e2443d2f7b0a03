"""The order in which the attention kernel takes its queries: a locality, never a result."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csrc.cuda import emulation
from geolrm import Engine
from geolrm.engine.backends.cuda import operators
from geolrm.engine.backends.cuda.memory_plan import plan_memory
from geolrm.engine.backends.cuda.spatial_order import grid_order, order_calls, workspace_bytes
from geolrm.engine.geometry.voxel_grid import voxel_centres

FIELDS = ("means", "opacities", "scales", "quats", "colors")


def order_on_device(positions, seed=0):
    count = len(positions)
    order = np.full(count, -1, np.int32)
    raw = np.full(workspace_bytes(count) + 256, 0xFF, np.uint8)
    workspace = raw.ctypes.data + -raw.ctypes.data % 256
    given = positions.ctypes.data, order.ctypes.data, workspace
    emulation.run(order_calls(*given, queries=count), seed)
    return order


def morton(positions):
    """By strings of bits."""
    with np.errstate(invalid="ignore"):
        places = np.nan_to_num(np.clip((positions + np.float32(0.5)) * 256, 0, 255), nan=0)
    bits = [[f"{int(v):08b}" for v in row] for row in places]
    return [int("".join(x + y + z for x, y, z in zip(*row, strict=True)), 2) for row in bits]


@settings(max_examples=25, deadline=None)
@given(count=st.sampled_from([1, 2, 255, 257, 5000]), seed=st.integers(0, 2**31))
def test_the_order_is_that_of_the_codes_and_stable(count, seed):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-0.55, 0.55, (count, 3)).astype(np.float32)
    positions[rng.random(count) < 0.3] = positions[0]  # ties
    positions[rng.random(count) < 0.05, 1] = np.nan
    np.testing.assert_array_equal(
        order_on_device(positions, seed % 1000), np.argsort(morton(positions), kind="stable")
    )


@pytest.mark.parametrize("side", [2, 4, 7, 16])
def test_a_grids_order_is_found_beforehand(side):
    centres = voxel_centres(side).reshape(-1, 3).astype(np.float32).copy()
    order = grid_order(side**3)
    assert order.dtype == np.int32 and sorted(order) == list(range(side**3))
    if side != 7:  # places of the 256 along an axis fall together with the voxels
        np.testing.assert_array_equal(order, order_on_device(centres * 0.9))
    assert grid_order(side**3 + 5) is None


def test_neighbours_in_the_order_are_neighbours_in_space():
    rng = np.random.default_rng(0)
    sphere = rng.standard_normal((6000, 3)).astype(np.float32)
    sphere *= 0.4 / np.linalg.norm(sphere, axis=1, keepdims=True)
    raster = np.ascontiguousarray(sphere[np.lexsort(np.round(sphere * 32).T[::-1])])
    seen = [
        np.mean([pixels_seen(chunk) for chunk in points.reshape(-1, 250, 3)])
        for points in (raster, raster[order_on_device(raster)])
    ]
    assert seen[1] < 0.8 * seen[0]


def pixels_seen(points):
    """Pixels of 64x64 and their neighbours, on which points fall when looking along an axis."""
    images = np.zeros((3, 72, 72), bool)
    places = np.clip((points + 0.5) * 64, 0, 63).astype(int) + 4
    for axis, (across, down) in enumerate(((1, 2), (0, 2), (0, 1))):
        for i, j in np.ndindex(5, 5):
            images[axis, places[:, down] + j - 2, places[:, across] + i - 2] = True
    return images.sum()


def entries(device):
    return [event[1] for event in device.log if event[0] == "launch"]


def test_every_attention_takes_the_order_and_the_results_are_the_same_bits(
    devices, gpu_bundles, views, monkeypatch
):
    engine = Engine(gpu_bundles())
    (device,) = devices
    device.log.clear()
    ordered = engine.run(*views)
    launched = entries(device)
    assert launched.count("deformable_cross_attention_biased") == 4
    assert "deformable_cross_attention" not in launched
    assert launched.count("query_order") == 1  # one order for all layers
    attention_calls = operators.attention_calls
    monkeypatch.setattr(operators, "attention_calls", lambda *given: attention_calls(*given[:-1]))
    device.log.clear()
    plain = Engine(gpu_bundles()).run(*views)
    others = [name for name in entries(device) if name.startswith("deformable_cross_attention")]
    assert len(others) == 4  # with a bias of the values, by the same kernel without an order
    np.testing.assert_array_equal(ordered.logits, plain.logits)
    np.testing.assert_array_equal(ordered.anchors, plain.anchors)
    for field in FIELDS:
        np.testing.assert_array_equal(
            getattr(ordered.gaussians, field), getattr(plain.gaussians, field)
        )


def test_the_order_is_part_of_the_graph_and_found_anew_in_each_replay(devices, rtx, views):
    """Other anchors at the same addresses: a replay with yesterday's order would miss some."""
    engine = Engine(rtx[0])
    rng = np.random.default_rng(3)
    expected = Engine(rtx[0], backend="onnxruntime")
    for _ in range(5):
        devices[0].log.clear()
        anchors = rng.uniform(-0.5, 0.5, (40, 3)).astype(np.float32)
        scene = engine.run(*views, anchors=anchors)
        wanted = expected.run(*views, anchors=anchors)
        np.testing.assert_allclose(scene.gaussians.means, wanted.gaussians.means, atol=2e-5)
    assert devices[0].count("replay") > 0 and "query_order" not in entries(devices[0])


def test_the_memory_plan_counts_the_order(devices, gpu_bundles, views):
    engine = Engine(gpu_bundles())
    engine.run(*views, max_tokens=512)
    planned = plan_memory(engine.manifest, engine.manifest.gpu, 3, 512)
    assert engine._backend._arena.nbytes == planned.activations  # taken at once, never grown
    layout = engine._stages["reconstruction"].layout({"views": 3, "anchors": 512})
    assert workspace_bytes(512) <= layout.nbytes <= planned.activations
