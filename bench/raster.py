"""Times of the CPU rasterizer: `geolrm bench raster`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from geolrm import _C
from geolrm.bench import splat_scenes
from geolrm.bench.machine import best_seconds, clock, matmul_gflops
from geolrm.engine.rendering.images import Renders
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.extras import require

FAMILIES = (["plain", "avx2", "avx512"], ["plain", "neon"])  # each set has those before it
QUIET_RATE = 245.0  # GFLOP/s of the machine that the targets below are for
TARGETS = {  # ms on 2 quiet cores: must, aim
    (65536, 512): (5.0, 4.0),
    (65536, 1024): (13.0, 10.0),
    (524288, 512): (16.0, 12.0),
    (524288, 1024): (36.0, 28.0),
}


class Frame:
    """One scene and image size, with the covariances computed and the buffers in place."""

    def __init__(self, scene: splat_scenes.Scene, size: int):
        self.scene, self.size = scene, size
        self.model = _C.SplatModel(**scene.splats())
        self.parameters = _C.RasterParameters(alpha_max=0.999)
        self.camera = (scene.w2c[None], scene.intrinsics(size, size)[None], size, size)
        self.out = Renders.empty(1, (size, size))

    def render(self, **options) -> dict:
        """Render into the frame's own images."""
        images = (self.out.rgb, self.out.alpha, self.out.depth)
        return self.model.render(*self.camera, self.parameters, *images, **options)

    def backward(self, **options) -> None:
        """Compute gradients, with the images as dL/d(image)."""
        images = (self.out.rgb, self.out.alpha, self.out.depth)
        out = [np.zeros_like(a) for a in self.scene.splats().values()]
        self.model.backward(*self.camera, self.parameters, *images, *out, **options)


def milliseconds(times: list[float]) -> str:
    return f"{1e3 * min(times):7.1f} {1e3 * float(np.median(times)):7.1f}"


def table(scenes: list[splat_scenes.Scene], args: argparse.Namespace) -> None:
    print("splats    px  threads    best  median  (ms)   target at this rate: must / aim")
    for scene in scenes:
        for size in args.sizes:
            frame = Frame(scene, size)
            for threads in (1, 2):
                frame.render(threads=threads)
                rate = matmul_gflops()
                times = clock(lambda f=frame, t=threads: f.render(threads=t), args.repeats)
                target = TARGETS.get((len(scene.means), size)) if threads == 2 else None
                scaled = [QUIET_RATE / rate * t for t in target] if target else []
                goal = " / ".join(f"{t:.1f}" for t in scaled)
                row = f"{len(scene.means):7d} {size:5d} {threads:6d}   {milliseconds(times)}"
                print(f"{row}   {goal:14s} matmul {rate:.0f} GFLOP/s")
            details(frame, args)


def details(frame: Frame, args: argparse.Namespace) -> None:
    best = min(clock(lambda: frame.render(threads=2), 5))
    stats = frame.render(threads=1, timed=True)
    stages = {
        "project": stats["project"] + stats["tile_project"],
        "sort": stats["sort"] + stats["tile_sort"],
        "bin": stats["bin"] + stats["tile_bin"],
        "blend": stats["tile_blend"],
        "clear and output": stats["tile_write"],
    }
    print("    1 thread: " + ", ".join(f"{k} {1e3 * v:.1f}" for k, v in stages.items()) + " ms")
    print(f"    {stats['pixel_pairs'] / best / 1e9:.2f} G splat-pixel pairs/s on 2 threads")
    every = {"plain tile renderer, without occlusion culling": {"cull": False}}
    family = next(family for family in FAMILIES if _C.best_isa() in family)
    every |= {f"the {isa} path": {"isa": isa} for isa in family[: family.index(_C.best_isa())]}
    for name, options in every.items():
        ratio = paired_ratio(frame, options)
        print(f"    {name}: {ratio:.2f} times as long")
    back = min(clock(lambda: frame.backward(threads=2), 3))
    print(f"    backward: {back / best:.2f} times as long as forward")
    if not args.torch:
        print("    torch compositing: not run (--torch)")
    elif frame.scene.colors is None:
        print("    torch compositing: not run (spherical harmonics)")
    else:
        name, seconds = torch_run(frame)
        print(f"    torch: {name} projection with torch compositing: {seconds / best:.0f} times")


def paired_ratio(frame: Frame, options: dict, repeats: int = 5) -> float:
    """Return the median ratio of frames rendered in turn: other work disturbs both alike."""
    ratios = []
    for _ in range(repeats):
        plain, ours = (clock(lambda o=o: frame.render(threads=2, **o), 1)[0] for o in (options, {}))
        ratios.append(plain / ours)
    return float(np.median(ratios))


def torch_run(frame: Frame) -> tuple[str, float]:
    """Time one frame in torch; return whose projection it was, and the seconds."""
    import torch

    from geolrm.bench.torch_compositing import projection_name, render

    torch.set_num_threads(2)
    splats = (torch.from_numpy(a) for a in frame.scene.splats().values())
    means, opacities, scales, quats, colors = splats
    w2c, intrinsics = (torch.from_numpy(a[0].astype(np.float32)) for a in frame.camera[:2])
    size = (frame.size, frame.size)

    def run() -> object:
        return render(
            means, opacities, scales, quats, colors, w2c, intrinsics, size, alpha_max=0.999
        )

    seconds = min(clock(run, 1))
    return projection_name(), seconds


PEAK = """
import sys
from geolrm.bench import raster, splat_scenes
from geolrm.bench.memory import forget_peak, peak_bytes
scene = splat_scenes.named(sys.argv[1])
start = forget_peak()  # that of making the scene
frame = raster.Frame(scene, int(sys.argv[2]))
frame.render(threads=2)
print(peak_bytes() - start)
"""


def peak_memory(scene: str, size: int) -> float:
    """Return the MB that packing and rendering need above the scene, with images (Linux)."""
    command = [sys.executable, "-c", PEAK, scene, str(size)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 2**20


def curves(args: argparse.Namespace) -> None:
    """Print how time grows with splats and with pixels; --plot plots it."""
    counts = [65536 * 4**i for i in range(4)]
    sides = [256, 512, 1024, 2048, 4096]
    by_count = [1e3 * best_of(Frame(splat_scenes.ring_and_ball(n), 512)) for n in counts]
    scene = splat_scenes.ring_and_ball(524288)
    by_side = [1e3 * best_of(Frame(scene, side)) for side in sides]
    for name, xs, ys in (("splats", counts, by_count), ("px", sides, by_side)):
        print(f"{name}: " + ", ".join(f"{x}: {y:.1f} ms" for x, y in zip(xs, ys, strict=True)))
    if args.plot:
        plot(args.plot, counts, by_count, sides, by_side)


def plot(
    path: Path, counts: list[int], by_count: list[float], sides: list[int], by_side: list[float]
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.loglog(counts, by_count, "o-")
    left.set(xlabel="splats, at 512 px", ylabel="ms, 2 threads")
    right.loglog([side * side for side in sides], by_side, "o-")
    right.set(xlabel="pixels, 524288 splats")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def best_of(frame: Frame, repeats: int = 7) -> float:
    return best_seconds(lambda: frame.render(threads=2), repeats)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("geolrm bench raster", description=__doc__)
    parser.add_argument("--scene", type=Path, nargs="*", help=".npz or .ply, not seeded scenes")
    parser.add_argument("--sizes", type=int, nargs="*", default=[512, 1024])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--torch", action="store_true", help="compare with torch (takes minutes)")
    parser.add_argument("--curves", action="store_true", help="times over splats and pixels")
    parser.add_argument("--plot", type=Path, help="plot the curves into this file (matplotlib)")
    args = parser.parse_args(arguments)
    if args.torch:
        require("torch", "--torch")
    if args.plot:
        require("matplotlib", "--plot")
    names = [str(path) for path in args.scene or []] or ["65536", "524288"]
    scenes = [splat_scenes.named(name) for name in names]
    print(f"{_C.best_isa()}, matmul {matmul_gflops():.0f} GFLOP/s (quiet target: {QUIET_RATE:.0f})")
    table(scenes, args)
    if Path("/proc/self/clear_refs").exists():
        size = max(args.sizes)
        peak = peak_memory(names[-1], size)
        print(f"peak memory above the scene, {names[-1]} at {size} px: {peak:.0f} MB")
    if args.curves or args.plot:
        curves(args)


if __name__ == "__main__":
    with one_sentence_errors():
        main()
