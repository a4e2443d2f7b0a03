"""On a real GPU, against the CPU's reference; ``geolrm bench gpu`` runs these."""

import numpy as np
import pytest
from samples.gpu_bundles import write_tiny_gpu_bundle

from geolrm import Engine
from geolrm.engine.anchors import select_anchors
from geolrm.engine.backends.cuda.anchors import SelectAnchors
from geolrm.engine.backends.cuda.gaussians import DeviceGaussians
from geolrm.engine.backends.cuda.rope import rope_calls
from geolrm.engine.backends.cuda.spatial_order import grid_order, order_calls, workspace_bytes
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.geometry.voxel_grid import rope_indices, voxel_axis, voxel_centres

pytestmark = pytest.mark.gpu


def test_memory_goes_there_and_back(device):
    array = np.random.default_rng(0).standard_normal((3, 5, 7), np.float32)
    placed = device.upload(array)
    np.testing.assert_array_equal(placed.numpy(), array)
    np.testing.assert_array_equal(placed[1:2].numpy(), array[1:2])
    device.clear(placed)
    assert not placed.numpy().any()


@pytest.mark.parametrize("selection", ["random", "confident"])
def test_anchor_selection(device, selection):
    logits = np.random.default_rng(0).normal(-0.5, 1, (64, 64, 64)).astype(np.float32)
    kernel, limit = SelectAnchors(64, selection), 16384
    state = device.upload(np.zeros(kernel.state_bytes // 4, np.int32))
    placed = [
        device.upload(logits), device.upload(voxel_axis(64)), state,
        device.empty((kernel.counts_bytes,), "uint8"), device.empty((limit,), "int32"),
        device.empty((limit, 3), "float32"),
    ]  # fmt: skip
    device.launch(kernel.calls(*(array.address for array in placed), limit=limit, seed=5))
    expected = select_anchors(logits, limit, seed=5, selection=selection)
    assert tuple(state.numpy()[:2]) == (limit, expected.num_occupied)
    np.testing.assert_array_equal(placed[4].numpy(), expected.voxels)
    np.testing.assert_array_equal(placed[5].numpy(), expected.positions)


def test_rope_indices(device):
    centres = voxel_centres(128).reshape(-1, 3)[::37].copy()
    indices = device.empty(centres.shape, "int64")
    placed = device.upload(centres)
    device.launch(
        rope_calls(
            placed.address, indices.address, tokens=len(centres), grid_size=128, xyz_scale=0.5
        )
    )
    np.testing.assert_array_equal(indices.numpy(), rope_indices(centres, 128, 0.5))


def test_a_graph_replays_what_was_captured(device):
    source, target = device.upload(np.arange(8, dtype=np.int32)), device.empty((8,), "int32")
    replay = device.capture(lambda: device.copy(source, target))
    device.clear(target)
    replay()
    np.testing.assert_array_equal(target.numpy(), np.arange(8))


def test_the_order_in_space(device):
    centres = (voxel_centres(16).reshape(-1, 3) * 0.9).astype(np.float32).copy()
    order = device.empty((4096,), "int32")
    workspace = device.empty((workspace_bytes(4096),), "uint8")
    addresses = (device.upload(centres).address, order.address, workspace.address)
    device.launch(order_calls(*addresses, queries=4096))
    np.testing.assert_array_equal(order.numpy(), grid_order(4096))


def test_results_are_read_in_place_and_drawn_on_the_device(device, shoe_views, tmp_path):
    images, cameras = shoe_views
    folder = write_tiny_gpu_bundle(tmp_path / "bundle")
    try:
        engine = Engine(folder, backend="cuda")
    except GeoLRMError as error:
        pytest.skip(str(error))
    expected = engine.run(images, cameras)
    scene = engine.run(images, cameras, output="device")
    assert isinstance(scene.gaussians, DeviceGaussians)
    drawn = scene.render(size=(200, 150), output="device").numpy()
    on_cpu = scene.render(size=(200, 150), backend="cpu")
    for name in ("rgb", "alpha", "depth"):
        error = np.abs(getattr(drawn, name) - getattr(on_cpu, name))
        assert error.max() <= 0.01 and np.square(error).mean() <= 1e-9, name
    np.testing.assert_array_equal(scene.gaussians.means.numpy(), expected.gaussians.means)
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch knows no GPU")
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)  # the reader is late, and drops what it reads at once
        copy = torch.from_dlpack(scene.gaussians.means).clone()
    del scene
    for _ in range(3):
        engine.run(images[::-1].copy(), cameras, output="device")
    side.synchronize()
    np.testing.assert_array_equal(copy.cpu(), expected.gaussians.means)
