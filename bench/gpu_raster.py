"""The CUDA rasterizer against gsplat on one GPU: `geolrm bench gpu-raster`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geolrm import _C
from geolrm.bench import splat_scenes
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.options import RenderOptions
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.extras import installed_version

GSPLAT = "1.5.3"  # the version to compare with
GSPLAT_FP16 = "1.6"  # the first with a renderer in float16
COUNTS = (524288, 65536)  # what the targets are for first
SIZES = (1024, 512)
SECONDS = 20.0  # at most, for one figure
ALPHA_MAX = 0.999  # that of gsplat
Peer = Callable[[splat_scenes.Scene, int], Callable[[], object]]  # prepares a scene for its frames
TARGETS = {(524288, 512): 0.2, (524288, 1024): 0.35}  # ms on an H200-class GPU


def measure(
    sizes: Sequence[int] = SIZES,
    *,
    counts: Sequence[int] = COUNTS,
    scenes: Sequence[Path] = (),
    real: bool = True,
    repeats: int = 200,
    warm_up: int = 20,
    seconds: float = SECONDS,
    peer: bool = True,
    seen: Callable[[dict[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """Time both rasterizers on the generated scenes and on files.

    Args:
        sizes: of the square images, in px.
        counts: splats of the generated scenes.
        scenes: .ply or .npz beside the generated ones.
        real: add what the bundled model makes of a bundled capture.
        repeats: frames measured, each from an idle GPU to an idle GPU.
        warm_up: frames before them.
        seconds: at most, for one figure.
        peer: whether gsplat is measured beside it, which compiles itself for minutes.
        seen: called with each row as it is measured.

    Returns:
        ``{"ours": state, "gsplat": state, "gsplat fp16": state, "rows": [...]}``; a state is
        "measured" or "measured with gsplat VERSION", or "not run: ..." or "failed: ..." with the
        reason. Rows hold percentiles in ms and the PSNR against the CPU rasterizer.
    """
    try:
        from geolrm.engine.cuda.device import open_device

        device = open_device(0)
    except (ImportError, GeoLRMError) as error:
        reason = f"not run: {error}"
        return {"ours": reason, "gsplat": reason, "gsplat fp16": reason, "rows": []}
    peers: dict[str, Peer | None] = {"gsplat": None, "gsplat fp16": None}
    states = dict.fromkeys(peers, "not run: it was not asked for")
    if peer:
        peers["gsplat"], states["gsplat"] = _gsplat()
        peers["gsplat fp16"], states["gsplat fp16"] = _gsplat_fp16()
    named = {f"ring and ball {n}": splat_scenes.ring_and_ball(n) for n in counts}
    named |= {path.name: splat_scenes.read(path) for path in scenes}
    if real:
        named["bundled model, 12 views"] = splat_scenes.reconstructed()
    rows = []
    for name, scene in named.items():
        for size in sizes:
            row = {"scene": name, "splats": len(scene.means), "px": size}
            row |= _ours(device, scene, size, repeats, warm_up, seconds)
            target = TARGETS.get((len(scene.means), size))
            if target is not None:
                row["target_ms"] = target
            for title, prepare in peers.items():
                if prepare is None:
                    continue
                try:
                    row[title] = _time(
                        prepare(scene, size), _wait_for_torch, repeats, warm_up, seconds
                    )
                    ratio = row[title]["p50_ms"] / row["graph"]["p50_ms"]
                    row["ratio" + title.removeprefix("gsplat")] = ratio
                except Exception as error:  # it compiles itself at first use; ours go on
                    reason = " ".join(str(error).split())[:300]
                    peers[title] = None
                    states[title] = f"failed: {title}: {type(error).__name__}: {reason}"
            rows.append(row)
            seen(row)
    return {"ours": "measured", **states, "rows": rows}


def _ours(
    device: Any, scene: splat_scenes.Scene, size: int, repeats: int, warm_up: int, seconds: float
) -> dict[str, Any]:
    rasterizer = SplatRasterizer(device)
    splats = rasterizer.pack(scene)
    cameras = scene.w2c[None], scene.intrinsics(size, size)[None]
    frame = Frame(*cameras, (size, size), RenderOptions(alpha_max=ALPHA_MAX).parameters)
    out = DeviceRenders.empty(device, 1, (size, size))
    calls, _ = rasterizer.prepare(splats, frame, out=out)
    queued = _time(lambda: device.launch(calls), device.synchronize, repeats, warm_up, seconds)
    replay = device.capture(lambda: device.launch(calls))
    captured = _time(replay, device.synchronize, repeats, warm_up, seconds)
    expected = render_frame(_C.SplatModel(**scene.splats()), frame)
    error = np.mean((out.numpy().rgb.astype(np.float64) - expected.rgb) ** 2)
    psnr = float(-10 * np.log10(max(error, 1e-30)))
    return {"launches": queued, "graph": captured, "psnr_db": psnr}


def _gsplat() -> tuple[Peer | None, str]:
    """Return what prepares a scene for gsplat and gives its frame, or why there is none."""
    try:
        import torch
        from gsplat import rasterization  # pyright: ignore[reportMissingImports]  # not in an extra
    except ImportError as error:
        return None, f"not run: gsplat {GSPLAT} and torch are needed ({error})"
    except Exception as error:  # of its extension
        return None, f"not run: gsplat does not load ({' '.join(str(error).split())[:300]})"
    if not torch.cuda.is_available():
        return None, "not run: torch sees no CUDA device"

    def prepare(scene: splat_scenes.Scene, size: int) -> Callable[[], object]:
        tensors = {name: torch.from_numpy(a).cuda() for name, a in scene.splats().items()}
        pose = torch.from_numpy(scene.w2c[None].astype(np.float32)).cuda()
        intrinsics = scene.intrinsics(size, size)[None].astype(np.float32)
        matrix = torch.from_numpy(intrinsics).cuda()

        def frame() -> object:
            with torch.no_grad():
                return rasterization(
                    **tensors,
                    viewmats=pose,
                    Ks=matrix,
                    width=size,
                    height=size,
                    render_mode="RGB+D",
                )

        return frame

    version = installed_version("gsplat")
    return prepare, "measured" if version == GSPLAT else f"measured with gsplat {version}"


def _gsplat_fp16() -> tuple[Peer | None, str]:
    """Return the same for the renderer of gsplat 1.6 that packs scenes and images to float16.

    It gives colours and transmittance, and no depth.
    """
    try:
        import torch
        from gsplat.experimental.render import (  # pyright: ignore[reportMissingImports]
            GaussianInferenceRenderer,
        )
        from gsplat.scene import GaussianInferenceScene  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        return None, f"not run: gsplat {GSPLAT_FP16} or later and torch are needed ({error})"
    except Exception as error:  # of its extension
        return None, f"not run: gsplat does not load ({' '.join(str(error).split())[:300]})"
    if not torch.cuda.is_available():
        return None, "not run: torch sees no CUDA device"

    def prepare(scene: splat_scenes.Scene, size: int) -> Callable[[], object]:
        tensors = {name: torch.from_numpy(a).cuda() for name, a in scene.splats().items()}
        tensors["quats"] = torch.nn.functional.normalize(tensors["quats"], dim=-1)
        packed = GaussianInferenceScene.from_gaussian_tensors(
            **tensors, sh_degree=None, sh_compression="none", id="bench"
        )
        renderer = GaussianInferenceRenderer(packed)
        pose = torch.from_numpy(scene.w2c.astype(np.float32)).cuda()
        matrix = torch.from_numpy(scene.intrinsics(size, size).astype(np.float32)).cuda()

        def frame() -> object:
            with torch.no_grad():
                return renderer.render(viewmat=pose, K=matrix, width=size, height=size)

        return frame

    return prepare, f"measured with gsplat {installed_version('gsplat')}"


def _wait_for_torch() -> None:
    import torch

    torch.cuda.synchronize()


def _time(
    frame: Callable[[], object],
    wait: Callable[[], None],
    repeats: int,
    warm_up: int,
    seconds: float = SECONDS,
) -> dict[str, float]:
    for _ in range(warm_up):
        frame()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < repeats and (len(times) < 3 or time.perf_counter() < end):
        wait()
        start = time.perf_counter()
        frame()
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    return {f"p{p}_ms": float(np.percentile(times, p)) for p in (10, 50, 90, 99)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="geolrm bench gpu-raster", description=__doc__)
    parser.add_argument("--scene", type=Path, nargs="*", default=[], help=".ply or .npz, more")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=200)
    args = parser.parse_args(arguments)
    print(json.dumps(measure(args.sizes, scenes=args.scene, repeats=args.repeats), indent=1))


if __name__ == "__main__":
    with one_sentence_errors():
        main()
