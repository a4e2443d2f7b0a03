"""Every kernel against its counted floor.

The floor is the time to move each byte that must be read or written once, at the bandwidth of a
copy on the device measured in the same run.
"""

from typing import Any

import numpy as np

from geolrm.bench.gpu.timing import milliseconds
from geolrm.engine.cuda.anchors import SelectAnchors
from geolrm.engine.cuda.device import Device, open_device
from geolrm.engine.cuda.kernels import DeformableCrossAttention, GridSample
from geolrm.engine.cuda.rope import rope_calls
from geolrm.engine.voxel_grid import voxel_axis, voxel_centres

HEADS, WIDTH, POINTS = 16, 48, 8  # of the released reconstruction
SIDES = [(112, 112), (64, 64)]
PIXELS = sum(height * width for height, width in SIDES)
SETTINGS = [(views, tokens) for views in (6, 21) for tokens in (8192, 16384)]


def copy_bandwidth(device: Device) -> float:
    """Bytes a second, read and written, of a copy of 512 MB."""
    source, target = (device.empty((1 << 29,), "uint8") for _ in range(2))
    time = milliseconds(lambda: device.copy(source, target), device.synchronize, inner=10)
    return 2 * source.nbytes / (time["p50 ms"] / 1e3)


def measure() -> list[dict[str, Any]]:
    """Rows of all kernels."""
    device = open_device(0)
    rate = copy_bandwidth(device)
    rows = [{"kernel": "copy", "setting": "512 MB", "GB/s": rate / 1e9}]
    for views, tokens in SETTINGS:
        for dtype in ("float16", "float32"):
            rows.append(attention(device, rate, views, tokens, dtype))
    rows.append(selection(device, rate))
    rows += [grid_sample(device, rate, views) for views in (6, 21)]
    rows.append(rope(device, rate))
    return rows


def row(device: Device, rate: float, name: str, setting: str, calls: list, size: int) -> dict:
    """Time a kernel that must move ``size`` bytes."""
    time = milliseconds(lambda: device.launch(calls), device.synchronize, inner=10)
    floor = 1e3 * size / rate
    times = floor / time["p50 ms"]
    return {"kernel": name, "setting": setting, **time, "floor ms": floor, "of floor": times}


def attention(device: Device, rate: float, views: int, tokens: int, dtype: str) -> dict:
    """Deformable cross-attention on anchors in raster order, as in a run."""
    rng = np.random.default_rng(0)
    d, samples = HEADS * WIDTH, HEADS * 2 * POINTS
    kernel = DeformableCrossAttention(
        HEADS, WIDTH, 2, POINTS, value=dtype, query="float32", weight="float32", out=dtype
    )
    value = device.upload(rng.standard_normal((views, PIXELS, d), np.float32).astype(dtype))
    reference = np.sort(rng.random((views, tokens, 2), np.float32), axis=1)
    arrays = [
        np.array(SIDES, np.int64), reference,
        rng.standard_normal((tokens, 2 * samples), np.float32),
        rng.standard_normal((tokens, samples), np.float32),
        rng.standard_normal(d, np.float32), np.zeros(1, np.float32),
    ]  # fmt: skip
    placed = [value, *map(device.upload, arrays), device.empty((tokens, d), dtype)]
    calls = kernel.calls(
        *(array.address for array in placed), views=views, tokens=tokens, pixels=PIXELS
    )
    name, setting = f"deformable attention {dtype}", f"V={views} N={tokens}"
    return row(device, rate, name, setting, calls, sum(array.nbytes for array in placed))


def selection(device: Device, rate: float) -> dict:
    """Anchor selection from 128^3 logits, 16384 of 5 %."""
    logits = np.random.default_rng(0).normal(-1.645, 1, (128,) * 3).astype(np.float32)
    kernel, limit = SelectAnchors(128), 16384
    placed = [
        device.upload(logits), device.upload(voxel_axis(128)),
        device.empty((kernel.state_bytes,), "uint8"), device.empty((kernel.counts_bytes,), "uint8"),
        device.empty((limit,), "int32"), device.empty((limit, 3), "float32"),
    ]  # fmt: skip
    device.clear(placed[2])
    calls = kernel.calls(*(array.address for array in placed), limit=limit)
    size = placed[0].nbytes + sum(array.nbytes for array in placed[4:])
    return row(device, rate, "select anchors", "128^3 to 16384", calls, size)


def grid_sample(device: Device, rate: float, views: int) -> dict:
    """GridSample of 4 channels at the centres of 64^3 voxels."""
    rng, points = np.random.default_rng(0), 64**3
    data = device.upload(rng.standard_normal((views, 4, 448, 448), np.float32))
    grid = device.upload(rng.uniform(-1, 1, (views, points, 2)).astype(np.float32))
    out = device.empty((views, 4, points), "float32")
    addresses = (data.address, grid.address, out.address)
    calls = GridSample().calls(*addresses, shape=data.shape, points=points)
    size = data.nbytes + grid.nbytes + out.nbytes
    return row(device, rate, "grid sample", f"V={views}, 4 channels, 64^3", calls, size)


def rope(device: Device, rate: float) -> dict:
    """RoPE indices of 16384 anchors."""
    anchors = device.upload(voxel_centres(32).reshape(-1, 3)[:16384].copy())
    indices = device.empty(anchors.shape, "int64")
    calls = rope_calls(
        anchors.address, indices.address, tokens=len(anchors), grid_size=128, xyz_scale=0.5
    )
    size = anchors.nbytes + indices.nbytes
    return row(device, rate, "RoPE indices", "N=16384", calls, size)
