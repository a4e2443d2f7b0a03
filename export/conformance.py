"""Compare torch model and engine with recorded arrays of the released model.

``python -m geolrm.export.conformance CASE_DIR [--variant VARIANT] [--json]``, where the variant is
``head``, ``token.scale1`` or ``token.scale05``. A case is a folder with ``config.json``,
``weights.safetensors`` (the checkpoint's key names) and ``io.npz`` (inputs and every intermediate
array).
"""

import argparse
import json
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn

from geolrm.engine.engine import Engine
from geolrm.engine.errors import CheckpointError, GeoLRMError, InputError
from geolrm.engine.manifest import Range, Source
from geolrm.engine.preprocessing import make_views
from geolrm.engine.voxel_grid import rope_indices, voxel_axis
from geolrm.export.bundle_writer import ExportOptions, write_bundle
from geolrm.export.checkpoint import load_state
from geolrm.export.model import (
    EncoderConfig,
    GeoLRM,
    GeoLRMConfig,
    ProposalConfig,
    ReconstructionConfig,
    TransformerConfig,
)
from geolrm.export.model.geometry import pluecker_rays, project, projection_matrices

VARIANTS = {"head": ("head", 1.0), "token.scale1": ("token", 1.0), "token.scale05": ("token", 0.5)}
# What NumPy, torch, zipfile, json and safetensors raise for a damaged or incomplete case.
MALFORMED = (
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)
GAUSSIAN_ARRAYS = {
    "means": "gs_xyz",
    "opacities": "gs_opacity",
    "scales": "gs_scale",
    "quats": "gs_rotation",
    "colors": "gs_rgb",
}


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
        """Within tolerance; NaN is not."""
        return self.error <= self.tolerance


def tolerance(name: str) -> float:
    """Largest absolute error allowed for an array."""
    if "rope_idx" in name or name.startswith("sel."):
        return 0.0
    if name.endswith("feats"):
        return 2e-5
    if ".gs_" in name and not name.endswith("gs_raw"):
        return 5e-5
    return 2e-4


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A recorded run of the released model."""

    path: Path
    config: dict[str, Any]
    arrays: dict[str, NDArray]
    weights: dict[str, Tensor]

    @staticmethod
    def load(path: Path) -> "Case":
        """Read a case folder."""
        from safetensors.torch import load_file

        for name in ("config.json", "io.npz", "weights.safetensors"):
            if not (path / name).is_file():
                raise InputError(f"{str(path)!r} is no conformance case: it lacks {name}")
        with np.load(path / "io.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        config = json.loads((path / "config.json").read_text())
        return Case(path, config, arrays, load_file(path / "weights.safetensors"))

    def model_config(self, variant: str) -> GeoLRMConfig:
        """The case's hyper-parameters as a configuration."""
        attention, scale = VARIANTS[variant]
        proposal, generator = self.config["serializer"], self.config["lrm_generator"]
        dino = self.config["dino"]

        def transformer(fields: dict[str, Any]) -> TransformerConfig:
            return TransformerConfig(
                dim=fields["transformer_dim"],
                num_layers=fields["transformer_layers"],
                num_heads=fields["transformer_heads"],
                num_points=fields["num_deform_points"],
                self_attention=attention,
                rope_base=self.config.get("rope_base", 10000),
                ffn_multiple_of=self.config.get("ffn_multiple_of", 256),
            )

        hidden = self.weights["serializer.encoder.model.encoder.layer.0.mlp.fc1.weight"].shape[0]
        return GeoLRMConfig(
            encoder=EncoderConfig(
                patch_size=dino["patch_size"],
                hidden_size=dino["hidden_size"],
                num_layers=dino["num_hidden_layers"],
                num_heads=dino["num_attention_heads"],
                mlp_ratio=hidden // dino["hidden_size"],
                position_grid=dino["image_size"] // dino["patch_size"],
                feature_dim=proposal["encoder_feat_dim"],
            ),
            proposal=ProposalConfig(
                transformer(proposal),
                grid_size=proposal["grid_size"],
                token_res=proposal["token_res"],
                xyz_scale=self.config.get("xyz_scale_serializer", 0.5),
                max_seq_len=proposal["max_seq_len"],
            ),
            reconstruction=ReconstructionConfig(
                transformer(generator),
                grid_size=generator["grid_size"],
                xyz_scale=scale,
                gaussians_per_anchor=generator["gs_per_token"],
                use_sh=generator["use_sh"],
                offset_max=generator["offset_max"],
                scale_max=generator["scale_max"],
            ),
            image_size=self.config["image_size"],
        )

    def model(self, variant: str) -> GeoLRM:
        """The torch model with the case's weights."""
        model = GeoLRM(self.model_config(variant)).eval().requires_grad_(False)
        load_state(model, self.weights, str(self.path))
        return model


def compare(case: Case, variant: str) -> list[Comparison]:
    """All arrays of one variant, torch and engine."""
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
    """Max abs difference; infinite when the sizes cannot agree."""
    if np.squeeze(array).shape == np.squeeze(expected).shape:
        array = array.reshape(expected.shape)
    elif array.size and expected.size % array.size == 0 and expected.size > array.size:
        # One array of ours recorded once per scene.
        array = np.broadcast_to(array.reshape(-1), (expected.size // array.size, array.size))
        array = array.reshape(expected.shape)
    else:
        return float("inf")
    return float(np.abs(array.astype(np.float64) - expected.astype(np.float64)).max(initial=0))


def recorded_name(case: Case, field: str, array: NDArray | Tensor) -> str:
    """Name of a Gaussian array; spherical harmonics may be recorded under one of their own."""
    if field == "colors" and array.ndim == 3 and any(n.endswith(".gs_sh") for n in case.arrays):
        return "gs_sh"
    return GAUSSIAN_ARRAYS[field]


def scenes(case: Case) -> Iterator[tuple[int, NDArray, NDArray, NDArray]]:
    """(scene, images [V, 3, S, S], c2w [V, 4, 4], intrinsics [V, 3, 3]) of a batch."""
    for index, images in enumerate(case.arrays["images"]):
        yield index, images, case.arrays["c2ws"][index], case.arrays["Ks"][index]


def select_recorded(
    case: Case, logits: NDArray, scene: int, limit: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Active voxels, anchors and mask with the recorded permutation, as released."""
    flat = np.flatnonzero(logits.reshape(-1) > 0)
    size = logits.shape[0]
    chosen = flat
    if len(flat) >= limit:
        permutation = case.arrays[f"sel.perm.{scene}"]
        if len(permutation) == len(flat):  # else the logits already failed
            chosen = flat[permutation[:limit]]
    xyz = np.zeros((limit, 3), np.float32)
    chosen = chosen[:limit]
    xyz[: len(chosen)] = voxel_axis(size)[np.stack(np.unravel_index(chosen, (size,) * 3), axis=-1)]
    return flat, xyz, np.arange(limit) < len(chosen)


def torch_arrays(case: Case, model: GeoLRM, variant: str) -> dict[str, NDArray]:
    """Every array that the torch model yields, scenes stacked."""
    collected: dict[str, list[NDArray]] = defaultdict(list)
    attention = VARIANTS[variant][0]
    generator = f"gen.{variant}"
    limit = model.config.proposal.max_seq_len
    produced: dict[str, NDArray] = {}
    for scene, images, c2w, intrinsics in scenes(case):
        tensors = [torch.from_numpy(array) for array in (images, c2w, intrinsics)]
        record: dict[str, Tensor] = {}
        with _recording(model, f"ser.{attention}", generator, record):
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


class _recording:
    """Hooks that record intermediate arrays under the names of the case."""

    def __init__(self, model: GeoLRM, proposal: str, generator: str, record: dict[str, Tensor]):
        self.record, self.handles = record, []
        networks = (
            (proposal, "ser", model.serializer),
            (generator, "gen", model.lrm_generator),
        )
        for prefix, stage, network in networks:
            encoder, transformer = network.encoder, network.transformer
            self.output(encoder.model, f"{stage}.dino", batched=False)
            self.output(encoder.deconv, f"{stage}.high", batched=False)
            self.output(encoder.low_level_encoder, f"{stage}.low", batched=False)
            for i, layer in enumerate(transformer.layers):
                self.output(layer, f"{prefix}.latent{i}")
            self.output(transformer.norm, f"{prefix}.latent_final")
            self.block(transformer.layers[0], f"{prefix}.block0")
        self.output(model.serializer.upsample, f"{proposal}.upsample_raw")
        self.output(model.lrm_generator.renderer.latent_decoder, f"{generator}.gs_raw")

    def block(self, layer: nn.Module, prefix: str) -> None:
        attention = layer.cross_attention.deformable_attention
        views = attention.value_proj
        self.output(layer.self_attention_norm, f"{prefix}.sa_norm")
        self.output(layer.self_attention, f"{prefix}.sa_out")
        self.output(layer.cross_attention_norm, f"{prefix}.ca_query")
        self.output(attention, f"{prefix}.ca_per_view", batched=False)
        self.output(layer.cross_attention.cross_view_weight, f"{prefix}.ca_view_logit")
        self.output(layer.feed_forward, f"{prefix}.ffn_out")
        self.values(views, f"{prefix}.ca_value", attention)
        self.per_view(attention.sampling_offsets, f"{prefix}.ca_offsets_raw", attention)
        self.per_view(attention.attention_weights, f"{prefix}.ca_attw_raw", attention)
        self.handles.append(
            layer.ffn_norm.register_forward_pre_hook(
                lambda _, inputs: self.record.update({f"{prefix}.ca_block_out": inputs[0][None]})
            )
        )

    def output(self, module: nn.Module, name: str, batched: bool = True) -> None:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            self.record[name] = output[None] if batched else output

        self.handles.append(module.register_forward_hook(hook))

    def values(self, module: nn.Module, name: str, attention: nn.Module) -> None:
        """The projection runs over all views flattened; it is recorded by view."""

        def hook(_module: nn.Module, inputs: tuple, _output: Tensor) -> None:
            self.record[name] = self.record[name].unflatten(0, inputs[1].shape[:2])

        self.output(module, name, batched=False)
        self.handles.append(attention.register_forward_hook(hook))

    def per_view(self, module: nn.Module, name: str, attention: nn.Module) -> None:
        """What the released code computes again for every view stands once per view."""

        def hook(_module: nn.Module, inputs: tuple, _output: Tensor) -> None:
            views = inputs[1].shape[0]
            value = self.record[f"{name}.once"]
            self.record[name] = value.expand(views, -1, -1).clone()

        def once(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            self.record[f"{name}.once"] = output[None]

        self.handles.append(module.register_forward_hook(once))
        self.handles.append(attention.register_forward_hook(hook))

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


def engine_arrays(case: Case, model: GeoLRM, variant: str) -> dict[str, NDArray]:
    """What the exported graphs and native kernels yield, one scene at a time."""
    attention = VARIANTS[variant][0]
    collected: dict[str, list[NDArray]] = defaultdict(list)
    views, limit = case.arrays["images"].shape[1], case.arrays["sel.xyzs"].shape[1]
    options = ExportOptions(
        views=Range(1, views, max(views, 2)), tokens=Range(1, limit, max(limit, 2))
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
                array = array if field == "colors" else getattr(gaussians, field)
                name = recorded_name(case, field, array)
                collected[f"gen.{variant}.{name}"].append(array)
    return {name: np.stack(arrays) for name, arrays in collected.items()}


def main(arguments: list[str] | None = None) -> int:
    """Print every comparison; 0 only when all are within tolerance."""
    parser = argparse.ArgumentParser(prog="python -m geolrm.export.conformance")
    parser.add_argument("case", type=Path, help="folder with config.json, weights and io.npz")
    parser.add_argument("--variant", choices=VARIANTS, help="default: every variant recorded")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args(arguments)
    try:
        case = Case.load(options.case)
        present = [v for v in VARIANTS if any(n.startswith(f"gen.{v}.") for n in case.arrays)]
        variants = [options.variant] if options.variant else present
        if not variants or not set(variants) <= set(present):
            wanted = options.variant or "any variant"
            raise InputError(f"{str(options.case)!r} records no gen.* array of {wanted}")
        results = [result for variant in variants for result in compare(case, variant)]
    except MALFORMED as error:
        if isinstance(error, InputError | CheckpointError):
            print(error, file=sys.stderr)
            return 2
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        print(f"{str(options.case)!r} is a malformed case: {reason}", file=sys.stderr)
        return 2
    except GeoLRMError as error:
        print(error, file=sys.stderr)
        return 1
    failed = [result for result in results if not result.passed]
    if options.json:
        rows = [{**asdict(result), "passed": result.passed} for result in results]
        print(json.dumps({"passed": not failed, "comparisons": rows}, indent=1))
    else:
        for r in results:
            verdict = "ok" if r.passed else "FAILED"
            print(
                f"{r.side:6} {r.variant:13} {r.array:38} {r.error:9.2e} "
                f"<= {r.tolerance:7.0e} {verdict}"
            )
        print(f"{len(results)} arrays, {len(failed)} outside their tolerance")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
