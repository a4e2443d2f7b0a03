"""The whole engine against eager torch and torch.compile of the same model, with random weights."""

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from geolrm.bench.engine import make_views
from geolrm.bench.gpu.report import NotRun
from geolrm.bench.gpu.timing import milliseconds

VIEWS, TOKENS = (4, 8, 12, 16, 21), (4096, 8192, 16384)
ALL_OCCUPIED = 1e4  # added to the logits: then the number of anchors is the one asked for


def make_model() -> Any:
    """The released configuration, ``token`` attention, every voxel occupied."""
    import torch

    from geolrm.export.model import GeoLRM, released

    torch.manual_seed(0)
    config = released("token")
    config = replace(config, proposal=replace(config.proposal, occupancy_bias=ALL_OCCUPIED))
    return GeoLRM(config).eval().requires_grad_(False)


def measure_engine() -> list[dict[str, Any]]:
    """``Engine.run`` on the backend ``cuda`` in fp16, from prepared views to fetched Gaussians."""
    from geolrm import Engine
    from geolrm.engine.manifest import Range, Source
    from geolrm.engine.stopwatch import Stopwatch
    from geolrm.export import backend_choice
    from geolrm.export.bundle_writer import ExportOptions, write_bundle

    choice = backend_choice.choose("cuda", "fp16", None)
    ranges = Range(1, 6, max(VIEWS)), Range(1, 8192, max(TOKENS))
    with tempfile.TemporaryDirectory(prefix="geolrm-bench-") as folder:
        bundle = Path(folder) / "bundle"
        write_bundle(
            make_model(), bundle, name="released", source=Source("random", "", trained=False),
            options=ExportOptions("fp16", *ranges, 0, choice, "geolrm bench gpu"),
        )  # fmt: skip
        engine = Engine(bundle, backend="cuda")
        rows = []
        for count, tokens in itertools.product(VIEWS, TOKENS):
            _, views = make_views(engine.manifest.image_size, count)
            arguments = engine.arguments.choose(0, tokens, "random", None, 0)

            def run(views: Any = views, arguments: Any = arguments) -> Any:
                features = engine.encode(views)
                return engine.finish(views, features, arguments, Stopwatch())

            # What a run fetches ends it: the host waits for the stream.
            time = milliseconds(run, lambda: None, repeats=10)
            rows.append({"V": count, "N": tokens, **time})
    return rows


def measure_torch(compiled: bool) -> list[dict[str, Any]]:
    """The torch model under autocast to float16, eager or compiled."""
    import torch

    if not torch.cuda.is_available():
        raise NotRun("this torch has no CUDA")
    model = make_model().cuda()
    encode, propose, reconstruct = model.encode, model.propose, model.reconstruct
    if compiled:
        encode, propose, reconstruct = (
            torch.compile(f, dynamic=True) for f in (encode, propose, reconstruct)
        )
    rows = []
    for count, tokens in itertools.product(VIEWS, TOKENS):
        time = milliseconds(
            _torch_run(model.config.image_size, count, tokens, encode, propose, reconstruct),
            torch.cuda.synchronize,
            repeats=10,
        )
        peak = torch.cuda.max_memory_allocated() / 1e9
        torch.cuda.reset_peak_memory_stats()
        rows.append({"V": count, "N": tokens, **time, "peak GB": peak})
    return rows


def _torch_run(
    size: int, count: int, tokens: int, encode: Any, propose: Any, reconstruct: Any
) -> Callable[[], Any]:
    import torch

    _, views = make_views(size, count)
    arrays = (views.images, views.c2w, views.intrinsics, views.projection, views.foreground)
    host = [torch.from_numpy(array).pin_memory() for array in arrays]

    def run() -> Any:
        images, c2w, intrinsics, projection, foreground = (t.cuda(non_blocking=True) for t in host)
        with torch.inference_mode(), torch.autocast("cuda", torch.float16):
            for_proposal, features = encode(images, c2w, intrinsics)
            proposal = propose(for_proposal, projection, foreground)
            occupied = torch.nonzero(proposal.logits.flatten() > 0)[:tokens, 0]
            side = proposal.logits.shape[0]
            axes = torch.unravel_index(occupied, (side,) * 3)
            anchors = torch.stack(axes, -1).float() / (side - 1) - 0.5
            return reconstruct(features, projection, anchors, foreground, proposal.volume)

    return run
