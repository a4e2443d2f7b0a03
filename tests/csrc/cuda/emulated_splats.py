"""Frames of splats on the emulated device."""

import numpy as np
from csrc.cuda.emulation import address
from csrc.scenes import Scene
from reference.rasterizer import Parameters

from csrc.cuda import emulation
from geolrm import _C
from geolrm.engine.cuda.splat_plan import ALIGNMENT, PACKED_BYTES, SplatPlan
from geolrm.engine.rendering import Renders


def aligned(nbytes: int) -> np.ndarray:
    """Bytes that a device would hand out: aligned, and of no use before they are written."""
    raw = np.full(nbytes + ALIGNMENT, 0xFF, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


def draw(
    scene: Scene, cams, size, *, p: Parameters | None = None, seed=0, plan: SplatPlan | None = None
) -> tuple[Renders, SplatPlan, np.ndarray]:
    """The images of cameras [(w2c, intrinsics)], the plan, and the workspace that is left."""
    width, height = size
    plan = plan or SplatPlan.of(len(scene.means), len(cams), size)
    w2c, intrinsics = (np.stack([cam[i] for cam in cams]) for i in (0, 1))
    parameters = _C.RasterParameters(**vars(p or Parameters()))
    views = _C.raster_views(w2c, intrinsics, width, height, parameters)
    packed, workspace = aligned(PACKED_BYTES * plan.count), aligned(plan.nbytes)
    arrays = scene.arrays()
    geometry = [address(arrays[n]) for n in ("means", "opacities", "scales", "quats")]
    colors, sh = arrays.get("colors"), arrays.get("sh")
    emulation.run(
        plan.pack(*geometry, None if colors is None else address(colors), address(packed)), seed
    )
    out = Renders.empty(len(cams), size)
    for image in (out.rgb, out.alpha, out.depth):
        image[:] = np.nan
    calls = plan.draw(
        address(packed),
        address(views),
        address(workspace),
        *map(address, (out.rgb, out.alpha, out.depth)),
        sh=None if sh is None else address(sh),
        coefficients=0 if sh is None else sh.shape[1],
    )
    emulation.run(calls, seed)
    return out, plan, workspace
