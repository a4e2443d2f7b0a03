"""On a real GPU, against the CPU's reference; ``geolrm bench gpu`` runs these."""

import numpy as np
import pytest
import torch
from conftest import tiny_config, tiny_model
from csrc.test_deformable_attention import make_case
from gpu_bundles import write_gpu_bundle, write_tiny_gpu_bundle

from geolrm import _C, Engine
from geolrm.engine.backend_selection import PACKAGES
from geolrm.engine.cuda.anchors import SelectAnchors
from geolrm.engine.cuda.gaussians import DeviceGaussians
from geolrm.engine.cuda.kernels import DeformableCrossAttention, GridSample
from geolrm.engine.cuda.rope import rope_calls
from geolrm.engine.cuda.spatial_order import grid_order, order_bytes, order_calls
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.extras import KERNEL_PACKAGES, installed_version
from geolrm.engine.present_gpu import present_gpu
from geolrm.engine.selection import select_anchors
from geolrm.engine.voxel_grid import rope_indices, voxel_axis, voxel_centres
from geolrm.export import backend_choice

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def device():
    try:
        present_gpu()
    except GeoLRMError as error:
        pytest.skip(str(error))
    from geolrm.engine.cuda.device import open_device

    return open_device(0)


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


@pytest.mark.parametrize(
    ("value", "query", "out"),
    [
        ("float16", "float32", "float16"),
        ("float32", "float32", "float32"),
        ("bfloat16", "float32", "bfloat16"),
    ],
)
def test_deformable_cross_attention(device, value, query, out):
    """The released widths, and every storage that a bundle uses, in both orders of the queries."""
    tokens, heads = 41, 16
    arguments = make_case(1, 3, heads, 48, 2, 8, tokens)
    values, shapes, references, offsets, logits, weight, bias = arguments
    stored = values.transpose(0, 2, 1, 3).reshape(3, -1, heads * 48)
    kernel = DeformableCrossAttention(
        heads, 48, 2, 8, value=value, query=query, weight="float32", out=out
    )
    arrays = [
        device.upload(array)
        for array in (store(stored, value), shapes.astype(np.int64), references, offsets, logits,
                      weight, np.array([bias], np.float32))
    ]  # fmt: skip
    order = np.random.default_rng(0).permutation(tokens).astype(np.int32)
    made = []
    for ordered in (None, device.upload(order)):
        result = device.empty((tokens, heads * 48), out)
        addresses = (array.address for array in [*arrays, result])
        sizes = {"views": 3, "tokens": tokens, "pixels": stored.shape[1]}
        device.launch(kernel.calls(*addresses, **sizes, order=ordered))
        made.append(result.numpy().astype(np.float32))
    np.testing.assert_array_equal(made[0], made[1])
    expected = np.empty(made[0].shape, np.float32)
    _C.deformable_cross_attention(*arguments, expected)
    rounding = {"float32": 2e-4, "float16": 4e-3, "bfloat16": 4e-2}[value]
    np.testing.assert_allclose(made[0], expected, rtol=rounding, atol=rounding)


def store(array, dtype):
    """As a storage type; bfloat16's bits travel as float16's."""
    if dtype != "bfloat16":
        return np.ascontiguousarray(array.astype(dtype))
    bits = (np.ascontiguousarray(array).view(np.uint32) + 0x8000) >> 16
    return bits.astype(np.uint16).view(np.float16)


@pytest.mark.parametrize("sides", [(13, 9), (5, 6, 7)])
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_grid_sample(device, sides, padding):
    rng = np.random.default_rng(2)
    data = rng.standard_normal((2, 4, *sides)).astype(np.float32)
    grid = rng.uniform(-1.4, 1.4, (2, *(1,) * (len(sides) - 1), 300, len(sides)))
    placed = [device.upload(data), device.upload(grid.astype(np.float32))]
    result = device.empty((2, 4, 300), "float32")
    addresses = (array.address for array in [*placed, result])
    calls = GridSample(padding=padding).calls(*addresses, shape=data.shape, points=300)
    device.launch(calls)
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(data), torch.from_numpy(grid.astype(np.float32)),
        padding_mode=padding, align_corners=False,
    )  # fmt: skip
    np.testing.assert_allclose(result.numpy(), expected.reshape(2, 4, 300), atol=1e-4)


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("cuda", "fp32"), ("cuda", "fp16"), ("tensorrt-rtx", "fp16"), ("tensorrt", "fp16")],
)
def test_whole_engine(device, shoe_views, tmp_path, backend, precision):
    images, cameras = shoe_views
    for package in (*KERNEL_PACKAGES, PACKAGES[backend]):
        if installed_version(package) is None:
            pytest.skip(f"{package} is not installed")
    try:
        choice = backend_choice.choose(backend, precision, None)
    except InputError as error:  # TensorRT for RTX does not build for every GPU
        pytest.skip(str(error))
    folder = write_gpu_bundle(tiny_model(tiny_config()), tmp_path / "b", precision, choice)
    engine = Engine(folder, backend=backend)
    anchors = np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3)).astype(np.float32)
    expected = Engine(folder, backend="onnxruntime").run(images, cameras, anchors=anchors)
    tolerance = {"fp32": 1e-4, "fp16": 2e-2}[precision]
    for _ in range(4):  # queued, captured, replayed
        scene = engine.run(images, cameras, anchors=anchors)
        for field in ("means", "opacities", "scales", "quats", "colors"):
            got, wanted = (getattr(s.gaussians, field) for s in (scene, expected))
            np.testing.assert_allclose(got, wanted, atol=tolerance)


def test_the_order_in_space(device):
    centres = (voxel_centres(16).reshape(-1, 3) * 0.9).astype(np.float32).copy()
    place = device.empty((order_bytes(4096),), "uint8")
    device.launch(order_calls(device.upload(centres).address, place.address, tokens=4096))
    np.testing.assert_array_equal(place.numpy()[: 4 * 4096].view(np.int32), grid_order(4096))


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
