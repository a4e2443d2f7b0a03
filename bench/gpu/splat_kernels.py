"""The rasterizer's kernels one by one, on half a million splats.

A kernel of a frame cannot run alone: it reads what the ones before it wrote. So growing beginnings
of a frame are timed as CUDA graphs, and a kernel's time is the difference of two.
"""

from itertools import groupby

from geolrm.bench import splat_scenes
from geolrm.bench.gpu.report import Row
from geolrm.bench.gpu.timing import captured, milliseconds
from geolrm.engine.cuda.device import Device
from geolrm.engine.cuda.launch import Call
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.splat_plan import BOX_BYTES, PACKED_BYTES, SplatPlan

COUNT, PX = 524288, 1024
KEY_BYTES = 4
PASSES = 4  # of the sort
UNPACKED_BYTES = 56  # of a splat as the decoder writes it
PIXEL_BYTES = 20  # colour, alpha, depth
SORTING, SORT = ("count_keys", "scatter_keys"), "the sort, 8 launches"


def measure(
    device: Device, rate: float, count: int = COUNT, px: int = PX, seconds: float = 20.0
) -> list[Row]:
    """Measure each kernel of a frame, and packing the scene; a row for each."""
    scene, size = splat_scenes.ring_and_ball(count), (px, px)
    rasterizer = SplatRasterizer(device)
    splats = rasterizer.pack(scene)
    out = DeviceRenders.empty(device, 1, size)
    frame = Frame(scene.w2c[None], scene.intrinsics(px, px)[None], size)
    calls, _ = rasterizer.prepare(splats, frame, out=out)
    plan = SplatPlan.of(count, 1, size)
    device.launch(calls)  # compiles, which no capture may
    setting = f"{count} splats, {px} px"
    packing = milliseconds(lambda: rasterizer.pack(scene), device.synchronize, seconds=seconds)
    rows: list[Row] = [{"kernel": "pack_splats with the upload", "setting": setting, **packing,
                        **_floor(rate, UNPACKED_BYTES * count + PACKED_BYTES * count)}]  # fmt: skip
    before, until = 0.0, 0
    for name, group in groupby(calls, key=_title):
        until += len(list(group))
        beginning = calls[:until]
        replay = captured(device, lambda beginning=beginning: device.launch(beginning))
        time = milliseconds(replay, device.synchronize, inner=10, seconds=seconds)["p50 ms"]
        row: Row = {"kernel": name, "setting": setting, "p50 ms": max(time - before, 0.0)}
        before = time
        rows.append(row)
    floors = _bytes(plan, px)
    for row in rows[1:]:
        known = floors.get(row["kernel"])
        row |= _floor(rate, known.pop(0)) if known else {}
    for row in rows:
        if row["p50 ms"] and "floor ms" in row:
            row["of floor"] = row["floor ms"] / row["p50 ms"]
    rows.append({"kernel": "a whole frame", "setting": setting, "p50 ms": before})
    return rows


def _title(call: Call) -> str:
    return SORT if call.entry in SORTING else call.entry


def _bytes(plan: SplatPlan, px: int) -> dict[str, list[int]]:
    """Count the bytes that each kernel's launches must move, whatever the scene.

    ``bin_splats`` reads an index and a box for each rank of its slab, and more for each splat that
    is not hidden; ``blend_tiles`` writes the images once over all slabs.
    """
    cleared = sum(plan.layout[name][1] for name in ("matrix", "alive"))
    slabs = len(plan.slabs)
    return {
        "clear_tiles": [cleared],
        "project_splats": [plan.count * (PACKED_BYTES + 2 * KEY_BYTES + BOX_BYTES)],
        SORT: [PASSES * plan.count * 5 * KEY_BYTES],
        "bin_splats": [(stop - first) * (KEY_BYTES + BOX_BYTES) for first, stop in plan.slabs],
        "blend_tiles": [PIXEL_BYTES * px * px // slabs] * slabs,
        "decide_pixels": [KEY_BYTES],  # how many are listed: mostly none
    }


def _floor(rate: float, size: int) -> Row:
    return {"floor ms": 1e3 * size / rate}
