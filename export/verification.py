"""Verify a bundle against the torch model on real images, stage by stage."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geolrm.engine.anchors import select_anchors
from geolrm.engine.backends.selection import select_backend
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.bundle.manifest import Range
from geolrm.engine.captures import Capture
from geolrm.engine.engine import Engine
from geolrm.engine.errors import GeoLRMError, InputError, VerificationError
from geolrm.engine.views.preprocessing import Views, prepare_views
from geolrm.export.backend_choice import Choice
from geolrm.export.model import GeoLRM

MAX_ANCHORS = 1024
NUM_VIEWS = 3
GAUSSIAN_GATE = 1e-4  # fp32, max abs
COSINE_GATE = {"fp32": 0.99999, "fp16": 0.999, "bf16": 0.99}
IOU_GATE = {"fp32": 0.999, "fp16": 0.995, "bf16": 0.97}


@dataclass(frozen=True, slots=True)
class StageResult:
    """One array of the engine against torch."""

    stage: str
    cosine: float
    norm_ratio: float
    max_abs: float
    gate: str
    passed: bool


def choose_views(capture: Capture, allowed: Range, image_size: int) -> Views:
    """Prepare a few views of a capture, as many as a bundle allows.

    Raises:
        InputError: It has fewer than the bundle takes at least.
    """
    count = max(allowed.min, min(NUM_VIEWS, allowed.max))
    if count > len(capture):
        raise InputError(
            f"--views starts at {count}, but the capture used for verification has {len(capture)} "
            "views; lower MIN, or export with --no-verify"
        )
    chosen = capture.subset(capture.cameras.spread(count))
    return prepare_views(chosen.images, chosen.cameras, image_size)


def verify(
    folder: Path,
    model: GeoLRM,
    capture: Capture,
    *,
    seed: int = 0,
    backend: str = "onnxruntime",
    precision: str | None = None,
) -> list[StageResult]:
    """Run both sides on the same views and the same anchors.

    Args:
        folder: The bundle.
        model: The torch model it was exported from.
        capture: Real images.
        seed: Of the subset of anchors.
        backend: Of the engine.
        precision: Whose gates apply; None takes the bundle's storage.

    Raises:
        VerificationError: A gate is missed; the message names the worst stage.
    """
    engine = Engine(folder, backend=backend)
    manifest = engine.manifest
    precision = precision or manifest.precision
    views = choose_views(capture, manifest.views, manifest.image_size)
    features = engine.encode(views)
    proposal = engine.propose(features, views)
    logits = np.asarray(proposal.logits)
    limit = max(min(MAX_ANCHORS, manifest.anchors.max), manifest.anchors.min)
    anchors = select_anchors(logits, limit, seed=seed).positions
    if len(anchors) < manifest.anchors.min or len(anchors) == 0:  # an empty proposal hides nothing
        anchors = select_anchors(np.ones_like(logits), limit, seed=seed).positions
    gaussians = engine.reconstruct(features, views, anchors, proposal.volume)
    arrays = (
        views.images, views.c2w, views.intrinsics, views.projection, anchors, views.foreground
    )  # fmt: skip
    images, c2w, intrinsics, projection, positions, foreground = map(torch.from_numpy, arrays)
    with torch.inference_mode():
        truth_proposal, truth_features = model.encode(images, c2w, intrinsics)
        truth_logits, truth_volume, _ = model.propose(truth_proposal, projection, foreground)
        truth = model.reconstruct(truth_features, projection, positions, foreground, truth_volume)
    pairs = {"features (proposal)": (features.proposal, truth_proposal)}
    if features.reconstruction is not features.proposal:
        pairs["features (reconstruction)"] = (features.reconstruction, truth_features)
    pairs["occupancy logits"] = (logits, truth_logits)
    if proposal.volume is not None and truth_volume is not None:
        pairs["volume"] = (proposal.volume, truth_volume)
    colors = gaussians.sh if gaussians.colors is None else gaussians.colors
    for name in truth._fields:
        array = colors if name == "colors" else getattr(gaussians, name)
        pairs[name] = (array, getattr(truth, name))
    results = [
        _compare(name, engine_array, expected.numpy(), precision)
        for name, (engine_array, expected) in pairs.items()
    ]
    results.append(_compare_occupancy(logits, truth_logits.numpy(), precision))
    failed = [result for result in results if not result.passed]
    if failed:
        worst = failed[0]
        raise VerificationError(
            f"the exported graphs differ from the torch model in {len(failed)} of {len(results)} "
            f"stages, first in {worst.stage}: cosine {worst.cosine:.6f}, max abs "
            f"{worst.max_abs:.2e}; the gate is {worst.gate}. Nothing was written"
        )
    return results


def verify_on_gpu(folder: Path, model: GeoLRM, capture: Capture, choice: Choice) -> dict:
    """Compare the GPU artifact with torch where this machine can run it, for the report.

    Raises:
        VerificationError: A gate is missed.
        GeoLRMError: What was built does not load or run on the GPU it was built on.
    """
    targets = [target.name for target in choice.targets if target.present]
    if not targets:
        return {"status": "not run: no GPU"}
    try:
        select_backend(choice.backend, Bundle.open(folder))
    except GeoLRMError as error:  # a package of the run time is missing
        return {"status": f"not run: {error}"}
    results = verify(folder, model, capture, backend=choice.backend, precision=choice.precision)
    absent = [target.name for target in choice.targets if not target.present]
    content = report(results) | {"targets": targets}
    if absent:
        content["not_run"] = absent
    return content


def report(results: list[StageResult]) -> dict:
    """Return the content of ``verify.json``."""
    return {"status": "passed", "stages": [asdict(result) for result in results]}


def _compare(stage: str, array: Any, expected: NDArray, precision: str) -> StageResult:
    a, b = np.asarray(array).astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    norms = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    cosine = float(a @ b / max(norms[0] * norms[1], 1e-300))
    max_abs = float(np.abs(a - b).max(initial=0))
    is_gaussian = stage in ("means", "opacities", "scales", "quats", "colors")
    if precision == "fp32" and is_gaussian:
        gate, passed = f"max abs <= {GAUSSIAN_GATE:g}", max_abs <= GAUSSIAN_GATE
    else:
        limit = COSINE_GATE[precision]
        gate, passed = f"cosine >= {limit:g}", cosine >= limit
    return StageResult(stage, cosine, norms[0] / max(norms[1], 1e-300), max_abs, gate, bool(passed))


def _compare_occupancy(logits: NDArray, expected: NDArray, precision: str) -> StageResult:
    a, b = logits > 0, expected > 0
    union = np.count_nonzero(a | b)
    iou = np.count_nonzero(a & b) / union if union else 1.0
    ratio = np.count_nonzero(a) / max(np.count_nonzero(b), 1)
    limit = IOU_GATE[precision]
    gate = f"IoU >= {limit:g}"
    flipped = float(np.count_nonzero(a != b))
    return StageResult("occupancy", float(iou), float(ratio), flipped, gate, bool(iou >= limit))
