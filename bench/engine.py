"""Whole ``Engine.run`` against the released formulation in eager torch.

``geolrm bench engine [--model released|mini] [--variant head|token] [--views 6]
[--tokens 8192] [--threads 2] [--no-torch] [--json]``

Each side runs in a process of its own, so that peak memory is its own; both on the same cores, with
the same seeded random weights and the same real images.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from geolrm.bench import machine
from geolrm.bench.memory import peak_bytes
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.extras import require


def make_model(name: str, variant: str) -> Any:
    """Make the model with seeded random weights."""
    import torch

    from geolrm.export.model import GeoLRM

    torch.manual_seed(0)
    return GeoLRM(make_config(name, variant)).eval().requires_grad_(False)


def make_config(name: str, variant: str) -> Any:
    """Make the configuration of ``released``, with the variant of self-attention, or ``mini``."""
    from geolrm.export.model import mini, released

    return released().with_self_attention(variant) if name == "released" else mini()


def make_views(size: int, count: int) -> Any:
    """Load real images, and prepare them for the model."""
    from geolrm.engine.captures import load_capture
    from geolrm.engine.views.preprocessing import prepare_views
    from geolrm.examples import capture_path

    capture = load_capture(capture_path("shoe"))
    chosen = capture.subset(capture.cameras.spread(count))
    return chosen, prepare_views(chosen.images, chosen.cameras, size)


def write(options: argparse.Namespace) -> dict[str, Any]:
    """Export the model; return the time of the whole export without verification."""
    from geolrm.engine.bundle.manifest import Range, Source
    from geolrm.export.bundle_writer import ExportOptions, write_bundle

    model = make_model(options.model, options.variant)
    anchors = Range(1, options.tokens, max(options.tokens, 16384))
    start = time.perf_counter()
    write_bundle(
        model,
        options.bundle,
        name=options.model,
        source=Source("random", "", trained=False),
        options=ExportOptions("fp32", Range(1, 6, 21), anchors),
    )
    return {"export_seconds": time.perf_counter() - start}


def run_engine(options: argparse.Namespace) -> dict[str, Any]:
    """Time repeated warm runs, and live updates."""
    from geolrm import Engine

    engine = Engine(options.bundle, threads=options.threads)
    chosen, _ = make_views(engine.manifest.image_size, options.views)

    def run() -> Any:
        return engine.run(chosen.images, chosen.cameras, max_tokens=options.tokens, refine_steps=0)

    scene = run()
    timings: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        engine.reset_step_seconds()
        for stage, seconds in run().timings.items():
            timings.setdefault(stage, []).append(seconds)
    result = {
        "seconds": {stage: statistics.median(values) for stage, values in timings.items()},
        "steps": engine.step_seconds(),
        "anchors": len(scene.anchors),
        "gaussians": len(scene.gaussians),
    }
    if options.model == "mini" and options.views > 1:
        result["live_update_seconds"] = live_update(engine, chosen, options)
    result["peak_bytes"] = peak_bytes()
    return result


def live_update(engine: Any, chosen: Any, options: argparse.Namespace) -> float:
    """Return the median seconds of adding the last view and reconstructing."""
    times = []
    for _ in range(options.repeats):
        live = engine.live()
        for index in range(len(chosen) - 1):
            live.add(chosen.images[index], chosen.cameras[[index]])
        start = time.perf_counter()
        live.add(chosen.images[-1], chosen.cameras[[len(chosen) - 1]])
        live.run(max_tokens=options.tokens, refine_steps=0)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def run_torch(options: argparse.Namespace) -> dict[str, Any]:
    """Time the released formulation on the same weights, views and number of anchors."""
    import torch

    from geolrm.bench.released_formulation import use_released_formulation
    from geolrm.engine.anchors import select_anchors

    torch.set_num_threads(options.threads)
    model = use_released_formulation(make_model(options.model, options.variant))
    _, views = make_views(model.config.image_size, options.views)
    arrays = (
        views.images, views.c2w, views.intrinsics, views.projection, views.foreground
    )  # fmt: skip
    images, c2w, intrinsics, projection, foreground = map(torch.from_numpy, arrays)
    times = []
    with torch.inference_mode():
        warm_up = model.encode(images[:1], c2w[:1], intrinsics[:1])  # a small pass over all layers
        volume = model.propose(warm_up[0], projection[:1], foreground[:1]).volume
        model.reconstruct(warm_up[1], projection[:1], torch.zeros(64, 3), foreground[:1], volume)
        for _ in range(options.torch_repeats):
            start = time.perf_counter()
            proposal_features, features = model.encode(images, c2w, intrinsics)
            proposal = model.propose(proposal_features, projection, foreground)
            anchors = select_anchors(proposal.logits.numpy(), options.tokens).positions
            positions = torch.from_numpy(anchors)
            model.reconstruct(features, projection, positions, foreground, proposal.volume)
            times.append(time.perf_counter() - start)
    return {
        "seconds": {"total": statistics.median(times)},
        "anchors": len(anchors),
        "peak_bytes": peak_bytes(),
    }


def gigabytes(peak: int | None) -> str:
    """Format peak memory as it is printed."""
    return "unknown" if peak is None else f"{peak / 1e9:5.2f} GB"


SIDES = {"export": write, "engine": run_engine, "torch": run_torch}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both sides, each in its own process.

    Raises:
        GeoLRMError: torch, ONNX or its script are missing, which make the model that is measured.
    """
    for package in ("torch", "onnx", "onnxscript"):
        require(package, "the benchmark of the engine")
    result: dict[str, Any] = {"machine": machine.describe(), "settings": settings(options)}
    with tempfile.TemporaryDirectory(prefix="geolrm-bench-") as folder:
        bundle = options.bundle or Path(folder) / "bundle"
        sides = [] if (bundle / "manifest.json").is_file() else ["export"]
        sides += ["engine"] if options.no_torch else ["engine", "torch"]
        for side in sides:
            result[side] = call(side, bundle, options)
    from geolrm.bench.flops import reconstruction_flops

    config = make_config(options.model, options.variant)
    flops = reconstruction_flops(config, options.views, result["engine"]["anchors"])
    result["tflop"] = {name: value / 1e12 for name, value in flops.items()}
    rate = result["machine"]["numpy_sgemm_gflops"] * 1e9
    result["floor_seconds"] = sum(flops.values()) / rate
    if "torch" in result:
        ratio = result["torch"]["seconds"]["total"] / result["engine"]["seconds"]["total"]
        result["speedup"] = ratio
    return result


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that define a measurement."""
    names = ("model", "variant", "views", "tokens", "threads", "repeats", "torch_repeats")
    return {name: getattr(options, name) for name in names}


def call(side: str, bundle: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one side in a fresh process and read its JSON."""
    command = [sys.executable, "-m", "geolrm.bench.engine", "--side", side, "--bundle", str(bundle)]
    for name, value in settings(options).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{side} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="geolrm bench engine")
    parser.add_argument("--model", choices=("released", "mini"), default="mini")
    parser.add_argument("--variant", choices=("head", "token"), default="head")
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--torch-repeats", type=int, default=1)
    parser.add_argument("--no-torch", action="store_true", help="leave the peer out")
    parser.add_argument("--bundle", type=Path, help="reuse this bundle instead of a temporary one")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    options.tokens = options.tokens or (8192 if options.model == "released" else 4096)
    if options.side:
        print(json.dumps(SIDES[options.side](options)))
        return
    result = measure(options)
    if options.json:
        print(json.dumps(result, indent=1))
        return
    engine, peer = result["engine"], result.get("torch")
    print(" | ".join(f"{key} {value}" for key, value in result["machine"].items()))
    print(" | ".join(f"{key} {value}" for key, value in result["settings"].items()))
    total = engine["seconds"]["total"]
    print(f"engine  {total:8.2f} s  peak {gigabytes(engine['peak_bytes'])}")
    if peer:
        seconds, peak = peer["seconds"]["total"], gigabytes(peer["peak_bytes"])
        print(f"torch   {seconds:8.2f} s  peak {peak}")
        print(f"speedup {result['speedup']:8.2f}")
    print("stages  " + ", ".join(f"{k} {v:.3f}" for k, v in engine["seconds"].items()))
    print("steps   " + ", ".join(f"{k} {v:.3f}" for k, v in engine["steps"].items()))
    print("TFLOP   " + ", ".join(f"{k} {v:.3f}" for k, v in result["tflop"].items()))
    floor = result["floor_seconds"]
    print(f"floor   {floor:8.2f} s at NumPy's sgemm rate; the engine takes {total / floor:.2f}x")
    if "live_update_seconds" in engine:
        print(f"live update {engine['live_update_seconds']:.3f} s")


if __name__ == "__main__":
    with one_sentence_errors():
        main()
