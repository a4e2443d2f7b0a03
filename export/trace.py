"""Trace the stages of a model to ONNX: encoders, proposal and reconstruction, one graph each."""

import copy
import logging
import warnings
from dataclasses import dataclass
from typing import cast

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn.utils.fusion import fuse_conv_bn_eval

from geolrm.engine.bundle.plan import Reader, Role
from geolrm.export import onnx_operator
from geolrm.export.model import GeoLRM
from geolrm.export.model.cross_attention import LevelShapes
from geolrm.export.model.reconstruction import DecodedGaussians
from geolrm.export.model.splat_update import ROWS, SplatUpdate

OPSET = 23


class EncoderStage(nn.Module):
    """One image encoder, under its owner's name: so weights keep the checkpoint's names."""

    def __init__(self, owner: str, network: nn.Module):
        super().__init__()
        self.owner = owner
        holder = nn.Module()
        holder.encoder = network.encoder
        self.add_module(owner, holder)

    def forward(self, images: Tensor, c2w: Tensor, intrinsics: Tensor) -> Tensor:
        return getattr(self, self.owner).encoder(images, c2w, intrinsics)


class ProposalStage(nn.Module):
    """Features to occupancy logits, and with cues to the volume that anchors read."""

    def __init__(self, model: GeoLRM):
        super().__init__()
        self.serializer, self.level_shapes = model.serializer, model.level_shapes

    def forward(
        self,
        features: Tensor,
        projection: Tensor,
        foreground: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        logits, volume, _ = self.serializer(
            features, projection, self.level_shapes, foreground, valid
        )
        return logits if volume is None else (logits, volume)


class UpdateStage(nn.Module):
    """Splats and their gradients to the splats after a learned step.

    The network keeps its name in the model, by which its weights are stored.
    """

    def __init__(self, network: SplatUpdate, name: str):
        super().__init__()
        self.add_module(name, network)
        self._name = name

    def forward(
        self, splats: Tensor, start: Tensor, gradient: Tensor, magnitude: Tensor, seen: Tensor,
        weight: Tensor, mean: Tensor, square: Tensor, views: Tensor, step: Tensor, progress: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        return self.get_submodule(self._name)(
            splats, start, gradient, magnitude, seen, weight, mean, square, views, step, progress
        )


class ReconstructionStage(nn.Module):
    """Features and anchors to Gaussians."""

    def __init__(self, model: GeoLRM):
        super().__init__()
        self.lrm_generator, self.level_shapes = model.lrm_generator, model.level_shapes

    def forward(
        self,
        features: Tensor,
        projection: Tensor,
        anchors: Tensor,
        rope_index: Tensor,
        foreground: Tensor | None = None,
        volume: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> DecodedGaussians:
        return self.lrm_generator(
            features, projection, anchors, rope_index, self.level_shapes, foreground, volume, valid
        )


@dataclass(frozen=True, slots=True)
class Graph:
    """A traced stage: its file stem, the model, and what it is in the pipeline."""

    name: str
    model: onnx.ModelProto
    role: Role
    features_for: tuple[Reader, ...] = ()  # of an encoder


def prepare(model: GeoLRM) -> GeoLRM:
    """Copy a model for tracing: evaluation mode, batch norm folded, embeddings baked."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    grid = model.config.image_size // model.config.encoder.patch_size
    for encoder in (model.serializer.encoder, model.lrm_generator.encoder):
        if encoder is None:
            continue
        if model.config.encoder.use_high_level:
            encoder.model.embeddings.bake(grid)
        for branch, transposed in (("deconv", True), ("low_level_encoder", False)):
            layers = getattr(encoder, branch, None)
            if layers is not None and len(layers) == 2:
                setattr(
                    encoder,
                    branch,
                    nn.Sequential(fuse_conv_bn_eval(layers[0], layers[1], transposed)),
                )
    return model


def trace(model: GeoLRM) -> list[Graph]:
    """Trace all graphs of a model, with dynamic numbers of views and anchors.

    The graphs are ``encoder`` (or ``encoder_proposal`` and ``encoder_reconstruction``),
    ``proposal`` and ``reconstruction``.
    """
    model = prepare(model)
    config = model.config
    size, channels = config.image_size, config.encoder.feature_dim
    pixels = sum(height * width for height, width in model.level_shapes)
    views, count = Dim("views", min=1, max=1024), Dim("anchors", min=1, max=1 << 20)
    cameras = (torch.eye(4).expand(3, 4, 4), torch.eye(3).expand(3, 3, 3))
    features = torch.zeros(3, pixels, channels)
    projection = torch.ones(3, 3, 4)
    graphs = []
    readers: dict[str, tuple[str, tuple[Reader, ...]]] = {
        "encoder_proposal": ("serializer", ("proposal",)),
        "encoder_reconstruction": ("lrm_generator", ("reconstruction",)),
    }
    if config.shared_encoder:
        readers = {"encoder": ("serializer", ("proposal", "reconstruction"))}
    for name, (owner, features_for) in readers.items():
        stage = EncoderStage(owner, getattr(model, owner))
        inputs = {"images": torch.zeros(3, 3, size, size)}
        inputs |= {"c2w": cameras[0], "intrinsics": cameras[1]}
        dynamic = {key: {0: views} for key in inputs}
        traced = _export(stage, inputs, dynamic, ["features"])
        graphs.append(Graph(name, traced, "encoder", features_for))
    inputs = {"features": features, "projection": projection}
    outputs, volume = ["logits"], {}
    if config.cues is not None:
        inputs["foreground"] = torch.ones(3, 4, size, size)
        inputs["valid"] = torch.ones(3, size, size)
    dynamic = {key: {0: views} for key in inputs}
    if config.cues is not None and config.cues.volume_channels:
        outputs.append("volume")
        grid = [config.proposal.grid_size] * 3
        volume = {"volume": torch.zeros(1, config.cues.volume_channels + 1, *grid)}
    traced = _export(ProposalStage(model), inputs, dynamic, outputs)
    graphs.append(Graph("proposal", traced, "proposal"))
    inputs |= {"anchors": torch.zeros(5, 3), "rope_index": torch.zeros(5, 3, dtype=torch.int64)}
    inputs |= volume
    dynamic |= {"anchors": {0: count}, "rope_index": {0: count}}
    dynamic |= {key: None for key in volume}
    outputs = list(DecodedGaussians._fields)
    traced = _export(ReconstructionStage(model), inputs, dynamic, outputs)
    graphs.append(Graph("reconstruction", traced, "reconstruction"))
    return graphs


def trace_learned(model: GeoLRM) -> dict[str, onnx.ModelProto]:
    """Trace the networks of a model's learned refinement, ``update`` and ``closing`` if it has."""
    networks = {"update": model.splat_update, "closing": model.splat_closing}
    return {
        name: _trace_update(each, f"splat_{name}")
        for name, each in networks.items()
        if each is not None
    }


def _trace_update(network: SplatUpdate, name: str) -> onnx.ModelProto:
    """Trace a network of the learned refinement, for any number of splats."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    # Each a tensor of its own: what is the same object is traced as one input.
    shapes = dict.fromkeys(("splats", "start", "gradient", "magnitude"), (ROWS, 3))
    shapes |= {"seen": (3,), "weight": (3,), "mean": (ROWS, 3), "square": (ROWS, 3)}
    shapes |= dict.fromkeys(("views", "step", "progress"), ())
    inputs = {name: torch.ones(shape) for name, shape in shapes.items()}
    count = Dim("splats", min=1, max=1 << 30)
    dynamic = {name: {value.dim() - 1: count} if value.dim() else None
               for name, value in inputs.items()}  # fmt: skip
    outputs = ["moved", "new_mean", "new_square"]
    return _export(UpdateStage(network, name), inputs, dynamic, outputs)


def _export(stage: nn.Module, inputs: dict, dynamic: dict, outputs: list[str]) -> onnx.ModelProto:
    """Export one stage by torch.onnx, with the fallback function of the operator appended."""
    for logger in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            stage,
            kwargs=inputs,
            dynamic_shapes=dynamic,
            input_names=list(inputs),
            output_names=outputs,
            opset_version=OPSET,
            custom_translation_table=onnx_operator.translation_table(),
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "torch.onnx.export returns a program without a file"
    model = program.model_proto
    if any(node.op_type == onnx_operator.OPERATOR for node in model.graph.node):
        levels = len(cast(LevelShapes, stage.level_shapes))
        function = model.functions.add()
        function.CopyFrom(onnx_operator.fallback_function(levels))
        for entry in function.opset_import:  # ONNX Runtime inlines only functions of one opset
            entry.version = OPSET
    _strip_provenance(model)
    return model


def _strip_provenance(model: onnx.ModelProto) -> None:
    """Remove stack traces and paths of the machine that exported."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output,
                 *graph.initializer):  # fmt: skip
        item.doc_string = ""
        del item.metadata_props[:]
    parameters = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.value_info if value.name not in parameters]
    del graph.value_info[:]
    graph.value_info.extend(kept)
