"""The whole engine against eager torch and torch.compile of the same model, with random weights.

All of them are timed from prepared views on the host to Gaussians on the host.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from geolrm.bench.engine import make_views
from geolrm.bench.gpu.report import NotRun, Row
from geolrm.bench.gpu.timing import milliseconds, peak_memory, percentiles, used_bytes
from geolrm.engine.backends.selection import PACKAGES, extras_of
from geolrm.engine.errors import InputError
from geolrm.engine.system import extras

VIEWS, ANCHORS = (4, 8, 12, 16, 21), (4096, 8192, 16384)
# The paper reports 6 views too. From small to large: memory is kept for what comes next.
SETTINGS = sorted([(6, 8192), *((v, n) for v in VIEWS for n in ANCHORS)])
ALL_OCCUPIED = 1e4  # added to the logits: then the number of anchors is the one asked for
OLDEST_TORCH = (2, 11)
WARM_UP = 3  # runs: CUDA graphs are captured in the third
COMMAND = "geolrm bench gpu"

Settings = Sequence[tuple[int, int]]  # (views, anchors)


def make_model(config: Any = None) -> Any:
    """Make a model that occupies every voxel, of the released configuration by default."""
    import torch

    from geolrm.export.model import GeoLRM, released

    torch.manual_seed(0)
    config = config or released("token")
    config = replace(config, proposal=replace(config.proposal, occupancy_bias=ALL_OCCUPIED))
    return GeoLRM(config).eval().requires_grad_(False)


def choose(backend: str) -> Any:
    """Make the export's choice for this GPU in fp16.

    Raises:
        NotRun: A package is missing, or the backend does not know this GPU.
    """
    from geolrm.export import backend_choice

    needed = [*extras.KERNEL_PACKAGES, PACKAGES[backend]]
    missing = [package for package in needed if extras.installed_version(package) is None]
    if missing:
        raise NotRun(f"{' and '.join(missing)} missing; pip install 'geolrm[{extras_of(backend)}]'")
    try:
        return backend_choice.choose(backend, "fp16", None)
    except InputError as error:  # TensorRT for RTX does not build for every GPU
        raise NotRun(str(error)) from error


def measure_engine(
    backend: str, rows: list[Row], *, model: Any = None, settings: Settings = SETTINGS
) -> None:
    """Measure ``Engine.run`` in fp16, from prepared views to fetched Gaussians.

    Args:
        backend: ``cuda``, ``tensorrt`` or ``tensorrt-rtx``.
        rows: One is added for each setting.
        model: None takes the released configuration.
        settings: Numbers of views and of anchors.
    """
    choice = choose(backend)
    from geolrm.engine.bundle.manifest import Range, Source
    from geolrm.export.bundle_writer import ExportOptions, write_bundle

    most_views, most_anchors = (max(each) for each in zip(*settings, strict=True))
    views = Range(1, min(6, most_views), most_views)
    anchors = Range(1, min(8192, most_anchors), most_anchors)
    with tempfile.TemporaryDirectory(prefix="geolrm-bench-") as folder:
        bundle = Path(folder) / "bundle"
        start = time.perf_counter()
        write_bundle(
            model or make_model(), bundle, name="released",
            source=Source("random", "", trained=False),
            options=ExportOptions("fp16", views, anchors, 0, choice, COMMAND),
            progress=lambda line: print(line, flush=True),
        )  # fmt: skip
        print(f"exported in {time.perf_counter() - start:.0f} s", flush=True)
        gc.collect()
        time_bundle(bundle, backend, rows, settings)


def time_bundle(bundle: Path, backend: str, rows: list[Row], settings: Settings) -> None:
    """Measure the time and memory of a bundle's engine; a row for each setting is added."""
    from geolrm import Engine

    before = used_bytes()
    engine = Engine(bundle, backend=backend)
    for count, number in settings:
        row: Row = {"V": count, "N": number}
        rows.append(row)  # first: a setting that fails is seen
        row |= time_engine(engine, count, number)
        with peak_memory(used_bytes) as peak:
            _run(engine, count, number)()
        row["peak GB"] = (peak.bytes - before) / 1e9
        print(row, flush=True)


def time_engine(engine: Any, count: int, anchors: int, repeats: int = 20) -> Row:
    """Time a run without the preparation of its images: percentiles, and the last one's stages.

    Images are prepared by the host, and alike for every backend. What a run fetches ends it: the
    host has waited for the stream.
    """
    run, timings, times = _run(engine, count, anchors), {}, []
    for index in range(WARM_UP + repeats):
        timings = run().timings
        if index >= WARM_UP:
            times.append(1e3 * (timings["total"] - timings["prepare"]))
    stages = {f"{k} ms": 1e3 * v for k, v in timings.items() if k not in ("prepare", "total")}
    return percentiles(times) | stages


def _run(engine: Any, count: int, anchors: int) -> Callable[[], Any]:
    chosen, _ = make_views(engine.manifest.image_size, count)
    return lambda: engine.run(chosen.images, chosen.cameras, max_tokens=anchors, refine_steps=0)


def measure_torch(
    compiled: bool, rows: list[Row], *, model: Any = None, settings: Settings = SETTINGS
) -> None:
    """Measure the torch model under autocast to float16, eager or compiled; add rows."""
    import torch

    numbers = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if numbers < OLDEST_TORCH:
        raise NotRun(f"torch is {torch.__version__}; it must be 2.11 or newer")
    if not torch.cuda.is_available():
        raise NotRun(f"torch {torch.__version__} sees no CUDA device")
    model = (model or make_model()).cuda()
    stages = stages_of(model)
    if compiled:
        stages = [torch.compile(stage, dynamic=True) for stage in stages]
    for count, number in settings:
        row: Row = {"V": count, "N": number}
        rows.append(row)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        run = torch_run(model, stages, count, number, "cuda")
        row |= milliseconds(run, torch.cuda.synchronize, repeats=20, warm_up=2, seconds=5.0)
        row["peak GB"] = torch.cuda.max_memory_allocated() / 1e9
        print(row, flush=True)


def stages_of(model: Any) -> list[Callable[..., Any]]:
    """Return the model's three stages as functions of tensors."""

    def reconstruct(features, projection, anchors, rope, foreground, volume):
        return model.lrm_generator(
            features, projection, anchors, rope, model.level_shapes, foreground, volume
        )

    return [model.encode, model.propose, reconstruct]


def torch_run(
    model: Any, stages: Sequence[Callable[..., Any]], count: int, anchors: int, device: str
) -> Callable[[], Any]:
    """Make a whole run in torch, without host arithmetic between the stages."""
    import torch

    from geolrm.engine.geometry.voxel_grid import rope_indices, voxel_axis

    config = model.config
    side, rope = config.proposal.grid_size, config.reconstruction
    _, views = make_views(config.image_size, count)
    arrays = (views.images, views.c2w, views.intrinsics, views.projection, views.foreground)
    host = [torch.from_numpy(array) for array in arrays]
    if device == "cuda":
        host = [tensor.pin_memory() for tensor in host]
    axis = voxel_axis(side)
    table = torch.from_numpy(rope_indices(axis, rope.grid_size, rope.xyz_scale)).to(device)
    centres = torch.from_numpy(axis).to(device)
    encode, propose, reconstruct = stages

    def run() -> Any:
        images, c2w, intrinsics, projection, foreground = (
            tensor.to(device, non_blocking=True) for tensor in host
        )
        with torch.inference_mode(), torch.autocast(device, torch.float16):
            for_proposal, features = encode(images, c2w, intrinsics)
            proposal = propose(for_proposal, projection, foreground)
            occupied = torch.nonzero(proposal.logits.flatten() > 0)[:anchors, 0]
            voxels = torch.stack(torch.unravel_index(occupied, (side,) * 3), -1)
            made = reconstruct(
                features, projection, centres[voxels], table[voxels], foreground, proposal.volume
            )
            return [tensor.cpu() for tensor in made]

    return run
