"""The whole engine with random weights, from prepared views to Gaussians, both on the host."""

import gc
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from geolrm.bench.engine import make_views
from geolrm.bench.gpu.choices import Choices
from geolrm.bench.gpu.kernel_times import kernel_times
from geolrm.bench.gpu.report import NotRun, Recorder, Row
from geolrm.bench.gpu.stage_clock import StageClock
from geolrm.bench.gpu.timing import peak_memory, percentiles, used_bytes
from geolrm.engine.backends.cuda.tensorrt_segment import eager_specialization
from geolrm.engine.backends.selection import PACKAGES, extras_of
from geolrm.engine.cuda.device import open_device
from geolrm.engine.errors import InputError
from geolrm.engine.system import extras

ALL_OCCUPIED = 1e4  # added to the logits: then the number of anchors is the one asked for
DEVIATION = 0.02  # of parameters that start at zero
WARM_UP = 3  # runs: CUDA graphs are captured in the third
MOST_WARM_UP = 20  # where TensorRT for RTX cannot be captured in the third
REPEATS = 20
COMMAND = "geolrm bench gpu"


def make_model(config: Any = None) -> Any:
    """Make a model that occupies every voxel, of the released configuration by default.

    What starts at zero, biases above all, gets small random values: an export drops an addition of
    zeros, and offsets that are the same for all queries are read faster than a trained model's.
    """
    import torch

    from geolrm.export.model import GeoLRM, released

    torch.manual_seed(0)
    config = config or released("token")
    config = replace(config, proposal=replace(config.proposal, occupancy_bias=ALL_OCCUPIED))
    model = GeoLRM(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        if not parameter.any():
            parameter.normal_(std=DEVIATION)
    return model


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


def measure_engine(backend: str, record: Recorder, choices: Choices, model: Any = None) -> None:
    """Measure a run in fp16, from prepared views to fetched Gaussians.

    Args:
        backend: ``cuda``, ``tensorrt`` or ``tensorrt-rtx``.
        record: A row is added for each setting.
        choices: The settings, and how long to measure each.
        model: None takes the released configuration.
    """
    choice = choose(backend)
    from geolrm.engine.bundle.manifest import Range, Source
    from geolrm.export.bundle_writer import ExportOptions, write_bundle

    most_views, most_anchors = (max(each) for each in zip(*choices.settings, strict=True))
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
        record.note(f"exported in {time.perf_counter() - start:.0f} s")
        gc.collect()
        time_bundle(bundle, backend, record, choices)


def time_bundle(bundle: Path, backend: str, record: Recorder, choices: Choices) -> None:
    """Measure the time and memory of a bundle's engine; a row for each setting is added.

    What lies idle is given back before a peak is read; the arena and what lies in libraries
    stays, so that a row's peak is that of the settings up to it.
    """
    from geolrm import Engine

    before = used_bytes()
    start = time.perf_counter()
    with eager_specialization():
        engine = Engine(bundle, backend=backend)
    record.note(f"loaded in {time.perf_counter() - start:.0f} s")
    prepared: dict[int, Any] = {}  # views by their number: the host's work, once
    for count, number in choices.settings:
        row: Row = record.add({"V": count, "N": number})  # first: a setting that fails is seen
        if count not in prepared:
            _, prepared[count] = make_views(engine.manifest.image_size, count)
        row |= time_engine(engine, prepared[count], number, seconds=choices.seconds)
        open_device(0).release()  # what other settings have left is none of this one's
        with peak_memory(used_bytes) as peak:
            _run(engine, prepared[count], number)
        row["peak GB"] = (peak.bytes - before) / 1e9
        record.keep()
        print(row, flush=True)
    count, number = choices.settings[0]
    try:
        record.profile(kernel_times(lambda: _run(engine, prepared[count], number)))
    except NotRun as reason:
        record.note(str(reason))


def time_engine(
    engine: Any, views: Any, anchors: int, *, repeats: int | None = None, seconds: float = 20.0
) -> Row:
    """Time a run of prepared views: percentiles, and the medians of its stages.

    Of each stage the host's time and the GPU's, the latter between two events. What a run fetches
    ends it: the host has waited for the stream.
    """
    times: list[float] = []
    stages: dict[str, list[float]] = {}
    settled = warm_up(engine, views, anchors)
    end = time.perf_counter() + seconds
    for _ in range(REPEATS if repeats is None else repeats):
        if len(times) >= 3 and time.perf_counter() > end:
            break
        scene, gpu = _run(engine, views, anchors)
        times.append(1e3 * scene.timings["total"])
        for stage, host in scene.timings.items():
            if stage != "total":
                stages.setdefault(f"{stage} ms", []).append(1e3 * host)
        for stage, milliseconds in gpu.items():
            stages.setdefault(f"{stage} GPU ms", []).append(milliseconds)
    medians = {name: percentiles(values)["p50 ms"] for name, values in stages.items()}
    return percentiles(times) | medians | {"settled": "yes" if settled else "no"}


def warm_up(engine: Any, views: Any, anchors: int) -> bool:
    """Run until every stage is replayed from a CUDA graph, or never will be; return whether so."""
    for index in range(MOST_WARM_UP):
        if index >= WARM_UP and _is_settled(engine):
            break
        _run(engine, views, anchors)
    return _is_settled(engine)


def _is_settled(engine: Any) -> bool:
    return all(stage.settled for stage in engine._backend.stages.values())


def _run(engine: Any, views: Any, anchors: int) -> tuple[Any, dict[str, float]]:
    """Run prepared views; the scene, and the GPU's milliseconds by stage."""
    settings = engine.checks.settings(max_tokens=anchors, refine_steps=0)
    clock = StageClock(open_device(0))
    scene = engine.run_views(views, settings, clock)
    times = clock.gpu_milliseconds()
    clock.close()
    return scene, times
