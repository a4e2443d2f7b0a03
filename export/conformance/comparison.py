"""Compare every array that the torch model and the engine yield with its record."""

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolrm.engine.bundle.manifest import Range, Source
from geolrm.engine.engine import Engine
from geolrm.engine.geometry.voxel_grid import rope_indices
from geolrm.engine.views.preprocessing import make_views
from geolrm.export.bundle_writer import ExportOptions, write_bundle
from geolrm.export.conformance.case import (
    GAUSSIAN_ARRAYS,
    VARIANTS,
    Case,
    recorded_name,
    scenes,
    select_recorded,
)
from geolrm.export.conformance.hooks import recording
from geolrm.export.model import GeoLRM
from geolrm.export.model.geometry import pluecker_rays, project, projection_matrices


@dataclass(frozen=True, slots=True)
class Comparison:
    """One array against its record."""

    side: str  # torch or engine
    variant: str
    array: str
    error: float  # max abs
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.error <= self.tolerance


def tolerance(name: str) -> float:
    """Return the largest absolute error allowed for an array."""
    if "rope_idx" in name or name.startswith("sel."):
        return 0.0
    if name.endswith("feats"):
        return 2e-5
    if ".gs_" in name and not name.endswith("gs_raw"):
        return 5e-5
    return 2e-4


def compare(case: Case, variant: str) -> list[Comparison]:
    """Compare all arrays of one variant, of torch and of the engine."""
    model = case.model(variant)
    results = []
    for side, produced in (
        ("torch", torch_arrays(case, model, variant)),
        ("engine", engine_arrays(case, model, variant)),
    ):
        for name, array in produced.items():
            if name in case.arrays:
                error = largest_error(np.asarray(array), case.arrays[name])
                results.append(Comparison(side, variant, name, error, tolerance(name)))
        if side == "torch":
            owned = (f"ser.{VARIANTS[variant][0]}.", f"gen.{variant}.")
            recorded = {name for name in case.arrays if name.startswith(owned)}
            for name in sorted(recorded - set(produced)):  # a record that nothing answers
                results.append(Comparison(side, variant, name, float("inf"), tolerance(name)))
    return results


def largest_error(array: NDArray, expected: NDArray) -> float:
    """Return the largest absolute difference; infinite when the sizes cannot agree."""
    if np.squeeze(array).shape == np.squeeze(expected).shape:
        array = array.reshape(expected.shape)
    elif array.size and expected.size % array.size == 0 and expected.size > array.size:
        # One array of ours recorded once per scene.
        array = np.broadcast_to(array.reshape(-1), (expected.size // array.size, array.size))
        array = array.reshape(expected.shape)
    else:
        return float("inf")
    return float(np.abs(array.astype(np.float64) - expected.astype(np.float64)).max(initial=0))


def torch_arrays(case: Case, model: GeoLRM, variant: str) -> dict[str, NDArray]:
    """Compute every array that the torch model yields, scenes stacked."""
    collected: dict[str, list[NDArray]] = defaultdict(list)
    attention = VARIANTS[variant][0]
    generator = f"gen.{variant}"
    limit = model.config.proposal.max_seq_len
    produced: dict[str, NDArray] = {}
    for scene, images, c2w, intrinsics in scenes(case):
        tensors = [torch.from_numpy(array) for array in (images, c2w, intrinsics)]
        record: dict[str, Tensor] = {}
        with recording(model, f"ser.{attention}", generator, record):
            projection = projection_matrices(tensors[2], tensors[1])
            proposal_features, features = model.encode(tensors[0], tensors[1], tensors[2])
            logits = model.propose(proposal_features, projection).logits
            anchors = torch.from_numpy(case.arrays["sel.xyzs"][scene])
            gaussians = model.reconstruct(features, projection, anchors)
        size = model.config.image_size
        record["ray"] = pluecker_rays(tensors[2], tensors[1], size, normalise=False)
        record["proj"] = projection[None]
        record["ser.feats"], record["gen.feats"] = proposal_features[None], features[None]
        record["ser.ref_points"] = project(model.serializer.anchors, projection)[None]
        record["gen.ref_points"] = project(anchors, projection)[None]
        record[f"ser.{attention}.occ_logits"] = logits[None]
        for field, array in zip(gaussians._fields, gaussians, strict=True):
            record[f"{generator}.{recorded_name(case, field, array)}"] = array[None]
        for name, tensor in record.items():
            collected[name].append(tensor.numpy())
        if attention == "head":
            flat, xyz, mask = select_recorded(case, logits.numpy(), scene, limit)
            produced[f"sel.active_flat_idx.{scene}"] = flat
            collected["sel.xyzs"].append(xyz[None])
            collected["sel.mask"].append(mask[None])
        _check_rope(case, model, variant, anchors.numpy(), collected)
    produced |= {name: np.concatenate(arrays) for name, arrays in collected.items()}
    produced["ser.xyzs"] = model.serializer.anchors.numpy()
    produced["ser.rope_idx"] = model.serializer.rope_index.numpy()
    shapes = np.array(model.level_shapes, dtype=np.int64)
    produced["ser.spatial_shapes"] = produced["gen.spatial_shapes"] = shapes
    return produced


def _check_rope(
    case: Case, model: GeoLRM, variant: str, anchors: NDArray, collected: dict[str, list]
) -> None:
    if "." not in variant:
        return
    config = model.config.reconstruction
    index = rope_indices(anchors, config.grid_size, config.xyz_scale)
    collected[f"gen.rope_idx.{variant.split('.')[1]}"].append(index[None])


def engine_arrays(case: Case, model: GeoLRM, variant: str) -> dict[str, NDArray]:
    """Compute every array that exported graphs and native kernels yield, scenes stacked."""
    attention = VARIANTS[variant][0]
    collected: dict[str, list[NDArray]] = defaultdict(list)
    views, limit = case.arrays["images"].shape[1], case.arrays["sel.xyzs"].shape[1]
    options = ExportOptions(
        views=Range(1, views, max(views, 2)), anchors=Range(1, limit, max(limit, 2))
    )
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        write_bundle(
            model, bundle, name="case", source=Source(str(case.path), "", True), options=options
        )
        engine = Engine(bundle)
        for scene, images, c2w, intrinsics in scenes(case):
            posed = make_views(images, c2w, intrinsics)
            features = engine.encode(posed)
            logits = engine.propose(features, posed).logits
            anchors = np.ascontiguousarray(case.arrays["sel.xyzs"][scene])
            gaussians = engine.reconstruct(features, posed, anchors)
            collected["ser.feats"].append(features.proposal)
            collected["gen.feats"].append(features.reconstruction)
            collected[f"ser.{attention}.occ_logits"].append(logits)
            if attention == "head":
                flat, xyz, _ = select_recorded(case, logits, scene, limit)
                collected[f"sel.active_flat_idx.{scene}"] = [flat]
                collected["sel.xyzs"].append(xyz)
            for field in GAUSSIAN_ARRAYS:
                array = gaussians.sh if gaussians.colors is None else gaussians.colors
                array = np.asarray(array if field == "colors" else getattr(gaussians, field))
                name = recorded_name(case, field, array)
                collected[f"gen.{variant}.{name}"].append(array)
    return {name: np.stack(arrays) for name, arrays in collected.items()}
