"""Every kernel against its counted floor.

The floor is the time to move each byte that must be read or written once, at the bandwidth of a
copy on the device measured in the same run.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.gpu import splat_kernels
from geolrm.bench.gpu.choices import Choices
from geolrm.bench.gpu.report import Recorder, Row
from geolrm.bench.gpu.targets import ATTENTION, SELF_ATTENTION
from geolrm.bench.gpu.timing import captured, milliseconds
from geolrm.engine.backends.cuda.anchors import SelectAnchors
from geolrm.engine.backends.cuda.kernels import DeformableCrossAttention, GridSample
from geolrm.engine.backends.cuda.rope import rope_calls
from geolrm.engine.backends.cuda.self_attention import SelfAttention
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.device import Device, open_device
from geolrm.engine.cuda.launch import Call
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.voxel_grid import voxel_axis, voxel_centres
from geolrm.engine.views.preprocessing import make_views

HEADS, HEAD_DIM, POINTS = 16, 48, 8  # of the released reconstruction
SIDES = [(112, 112), (64, 64)]
PIXELS = sum(height * width for height, width in SIDES)
MOST_SETTINGS = 4  # the first of those chosen
COPIED = 1 << 29  # bytes


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a kernel is measured, and against what."""

    device: Device
    rate: float  # bytes a second of a copy
    seconds: float  # at most, for one figure


def copy_bandwidth(device: Device, seconds: float) -> float:
    """Measure the bytes a second, read and written, of a copy on the device."""
    source, target = (device.empty((COPIED,), "uint8") for _ in range(2))
    time = milliseconds(
        lambda: device.copy(source, target), device.synchronize, inner=10, seconds=seconds
    )
    return 2 * source.nbytes / (time["p50 ms"] / 1e3)


def measure(record: Recorder, choices: Choices) -> None:
    """Measure all kernels; a row for each setting is added, the target's first."""
    device = open_device(0)
    bench = Bench(device, copy_bandwidth(device, choices.seconds), choices.seconds)
    copied = {"kernel": "copy", "setting": f"{COPIED >> 20} MiB", "GB/s": bench.rate / 1e9}
    record.add(copied)
    for views, queries in choices.settings[:MOST_SETTINGS]:
        record.add(attention(bench, views, queries, "float16", curve=True))
        record.add(attention(bench, views, queries, "float16"))
        record.add(attention(bench, views, queries, "float32"))
        record.add(self_attention(bench, queries))
    record.extend(splat_kernels.measure(device, bench.rate, seconds=choices.seconds))
    record.add(selection(bench))
    for views in (6, 21):
        record.add(grid_sample(bench, views))
    record.add(rope(bench))


def row(
    bench: Bench,
    name: str,
    setting: str,
    calls: list[Call],
    size: int,
    cleared: DeviceArray | None = None,
) -> Row:
    """Time a kernel that must move ``size`` bytes; ten in a graph, so that no host slows it.

    ``cleared`` is what the kernel needs zeroed before.
    """
    device = bench.device

    def ten() -> None:
        for _ in range(10):
            if cleared is not None:
                device.clear(cleared)
            device.launch(calls)

    ten()  # compiles and loads, which no capture may do
    time = milliseconds(captured(device, ten), device.synchronize, seconds=bench.seconds)
    time = {column: value / 10 for column, value in time.items()}
    floor = 1e3 * size / bench.rate
    return {
        "kernel": name,
        "setting": setting,
        **time,
        "floor ms": floor,
        "of floor": floor / time["p50 ms"],
    }


def shell(count: int, side: int = 128) -> tuple[NDArray, NDArray]:
    """Choose anchors near a sphere.

    Returns:
        Positions [N, 3] in raster order, and their order [N] along the Morton curve.
    """
    centres = voxel_centres(side).reshape(-1, 3)
    distance = np.abs(np.linalg.norm(centres, axis=1) - 0.35)
    chosen = np.sort(np.argpartition(distance, count)[:count])
    voxels = np.stack(np.unravel_index(chosen, (side,) * 3), 1)
    bits = [
        (voxels[:, axis] >> bit & 1) << (3 * bit + axis) for bit in range(7) for axis in range(3)
    ]
    return centres[chosen], np.argsort(sum(bits)).astype(np.int32)


def projected(anchors: NDArray, views: int) -> NDArray[np.float32]:
    """Project anchors into cameras around the object: [V, N, 2] in [0, 1]."""
    cameras = Cameras.orbit(np.arange(views) * (360 / views), 20.0, 1.7, 50.0)
    blank = np.ones((views, 3, 1, 1), np.float32)
    projection = make_views(blank, cameras.c2w, cameras.intrinsics).projection
    points = np.einsum("vij,nj->vni", projection[..., :3], anchors) + projection[:, None, :, 3]
    return (points[..., :2] / points[..., 2:]).astype(np.float32)


def attention(bench: Bench, views: int, queries: int, dtype: str, *, curve: bool = False) -> Row:
    """Measure deformable cross-attention in raster order, or along the Morton curve."""
    calls, arrays = attention_calls(bench.device, views, queries, dtype, curve=curve)
    name = ATTENTION if (dtype, curve) == ("float16", True) else f"deformable attention {dtype}"
    size = sum(array.nbytes for array in arrays)
    return row(bench, name, f"V={views} N={queries}", calls, size)


def attention_calls(
    device: Device, views: int, queries: int, dtype: str, *, curve: bool = False
) -> tuple[list[Call], list[DeviceArray]]:
    """Place random inputs; return the launches, and the arrays that they read and write.

    With ``curve`` as the engine runs it: along the Morton curve, and adding the values' bias.
    """
    rng = np.random.default_rng(0)
    d, samples = HEADS * HEAD_DIM, HEADS * 2 * POINTS
    kernel = DeformableCrossAttention(
        HEADS, HEAD_DIM, 2, POINTS, value=dtype, query="float32", weight="float32", out=dtype
    )
    anchors, order = shell(queries)
    value = device.upload(rng.standard_normal((views, PIXELS, d), np.float32).astype(dtype))
    arrays = [
        np.array(SIDES, np.int64), projected(anchors, views),
        rng.standard_normal((queries, 2 * samples), np.float32),
        rng.standard_normal((queries, samples), np.float32),
        rng.standard_normal(d, np.float32), np.zeros(1, np.float32),
    ]  # fmt: skip
    placed = [value, *map(device.upload, arrays), device.empty((queries, d), dtype)]
    along = device.upload(order) if curve else None
    bias = device.upload(rng.standard_normal(d, np.float32)) if curve else None
    sizes = {"views": views, "queries": queries, "pixels": PIXELS}
    calls = kernel.calls(
        *(array.address for array in placed), **sizes, order=along, value_bias=bias
    )
    return calls, [*placed, *(array for array in (along, bias) if array is not None)]


def self_attention(bench: Bench, queries: int) -> Row:
    """Measure self-attention; its floor is not bytes, so the row has its rate of arithmetic."""
    calls, arrays = self_attention_calls(bench.device, queries)
    size = sum(array.nbytes for array in arrays)
    measured = row(bench, SELF_ATTENTION, f"N={queries}", calls, size)
    operations = 4 * queries**2 * HEADS * HEAD_DIM
    return {**measured, "TFLOP/s": operations / 1e9 / max(measured["p50 ms"], 1e-9)}


def self_attention_calls(device: Device, queries: int) -> tuple[list[Call], list[DeviceArray]]:
    """Place random inputs; return the launches, and the arrays that they read and write."""
    shape = (queries, HEADS * HEAD_DIM)
    rows = np.random.default_rng(0).standard_normal((3, *shape), np.float32).astype(np.float16)
    placed = [*map(device.upload, rows), device.empty(shape, "float16")]
    addresses = (array.address for array in placed)
    return SelfAttention(HEADS, HEAD_DIM).calls(*addresses, queries=queries), placed


def selection(bench: Bench) -> Row:
    """Measure the selection of anchors from 128^3 logits, 16384 of 5 %."""
    calls, placed = selection_calls(bench.device)
    size = placed[0].nbytes + sum(array.nbytes for array in placed[4:])
    setting = "128^3 to 16384, clearing its state"
    return row(bench, "select anchors", setting, calls, size, cleared=placed[2])


def selection_calls(device: Device) -> tuple[list[Call], list[DeviceArray]]:
    """Place random logits; return the launches, and the arrays, the third of which is to be 0."""
    logits = np.random.default_rng(0).normal(-1.645, 1, (128,) * 3).astype(np.float32)
    kernel, limit = SelectAnchors(128), 16384
    placed = [
        device.upload(logits), device.upload(voxel_axis(128)),
        device.empty((kernel.state_bytes,), "uint8"), device.empty((kernel.counts_bytes,), "uint8"),
        device.empty((limit,), "int32"), device.empty((limit, 3), "float32"),
    ]  # fmt: skip
    return kernel.calls(*(array.address for array in placed), limit=limit), placed


def grid_sample(bench: Bench, views: int) -> Row:
    """Measure GridSample of 4 channels at the centres of 64^3 voxels."""
    device = bench.device
    rng, points = np.random.default_rng(0), 64**3
    data = device.upload(rng.standard_normal((views, 4, 448, 448), np.float32))
    grid = device.upload(rng.uniform(-1, 1, (views, points, 2)).astype(np.float32))
    out = device.empty((views, 4, points), "float32")
    addresses = (data.address, grid.address, out.address)
    calls = GridSample().calls(*addresses, shape=data.shape, points=points)
    size = data.nbytes + grid.nbytes + out.nbytes
    return row(bench, "grid sample", f"V={views}, 4 channels, 64^3", calls, size)


def rope(bench: Bench) -> Row:
    """Measure the RoPE indices of 16384 anchors."""
    device = bench.device
    anchors = device.upload(voxel_centres(32).reshape(-1, 3)[:16384].copy())
    indices = device.empty(anchors.shape, "int64")
    calls = rope_calls(
        anchors.address, indices.address, tokens=len(anchors), grid_size=128, xyz_scale=0.5
    )
    size = anchors.nbytes + indices.nbytes
    return row(bench, "RoPE indices", "N=16384", calls, size)
