"""The versioned description of a bundle: ``manifest.json``, read and written strictly."""

import hashlib
import math
from collections.abc import Mapping
from typing import Literal

import msgspec

from geolrm.engine.errors import InputError

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
WEIGHTS_NAME = "weights.safetensors"

WORLD_FRAME = "right-handed, z up, object inside the cube [-0.5, 0.5]^3"
CAMERA_CONVENTION = (
    "c2w: OpenGL camera-to-world (x right, y up, looks along -z); "
    "intrinsics divided by the image size"
)

Dim = int | str  # a number, "views", "tokens", or a multiple such as "16*tokens"
ANY_GPU = "any"  # target of a graph that every GPU runs
MAX_REFINE_STEPS = 1000
BACKENDS = ("auto", "tensorrt-rtx", "tensorrt", "cuda", "onnxruntime")  # the preferred first


def split_dim(dim: str) -> tuple[int, str]:
    """Factor and symbol of a dimension such as ``tokens`` or ``16*tokens``."""
    *factors, symbol = dim.split("*")
    return math.prod(map(int, factors)), symbol


def size_of(dim: Dim, dims: Mapping[str, int]) -> int:
    """A dimension for these numbers of views and tokens."""
    if isinstance(dim, int):
        return dim
    factor, symbol = split_dim(dim)
    return factor * dims[symbol]


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Smallest, preferred and largest number of something."""

    min: int
    opt: int
    max: int

    def check(self, option: str) -> None:
        """Refuse, as the value of an option, what is empty or out of order."""
        if not 1 <= self.min <= self.opt <= self.max:
            raise InputError(
                f"{option} is {self.min}:{self.opt}:{self.max}; it must satisfy "
                "1 <= MIN <= OPT <= MAX"
            )


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor that passes between two steps of a plan."""

    name: str
    dtype: Literal["float32", "int64", "float16", "bfloat16"]  # the last two on GPUs only
    shape: list[Dim]


class SegmentStep(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="segment", tag_field="step"
):
    """Run a graph file."""

    file: str
    inputs: list[str]
    outputs: list[TensorSpec]


class SelfAttentionStep(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="self_attention",
    tag_field="step",
):
    """Softmax attention over tokens, by the native kernel."""

    query: str
    key: str
    value: str
    output: TensorSpec
    num_heads: int


class CrossAttentionStep(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="deformable_cross_attention",
    tag_field="step",
):
    """Project features to values and sample them, by the native kernels.

    ``value_*`` and ``view_*`` name tensors of the weights file; no bias means zeros.
    """

    features: str
    value_weight: str
    value_bias: str | None
    reference_points: str
    sampling_offsets: str
    attention_logits: str
    view_weight: str
    view_bias: str
    output: TensorSpec
    num_heads: int
    num_points: int


Step = SegmentStep | SelfAttentionStep | CrossAttentionStep


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stage as steps in order."""

    inputs: list[str]
    outputs: list[str]
    steps: list[Step]


class ScratchBytes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Memory that a segment needs inside, estimated: fixed, for each view, token, and pair."""

    fixed: int
    a_view: int
    a_token: int
    a_pair: int

    def of(self, views: int, tokens: int) -> int:
        """Bytes for V views and N tokens."""
        return (
            self.fixed + self.a_view * views + self.a_token * tokens + self.a_pair * views * tokens
        )


class GpuSegmentStep(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="segment", tag_field="step"
):
    """Run an engine or a graph on the GPU.

    ``files`` maps a target, ``sm_89`` or ``any``, to the file made for it.
    """

    name: str  # as messages call it, "proposal.segment03"
    files: dict[str, str]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    # Absent, not null, where it is unknown: older manifests then keep their checksum.
    scratch: ScratchBytes | msgspec.UnsetType = msgspec.UNSET


class GpuCrossAttentionStep(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="deformable_cross_attention",
    tag_field="step",
):
    """The node ``geolrm::DeformableCrossAttention`` with its own inputs, by the CUDA kernel.

    A kernel may read a tensor in another shape than it was made in, of the same size.
    The level shapes are the manifest's; ``view_*`` name float32 tensors of the weights file.
    """

    value: TensorSpec  # [V, L, d], heads in contiguous blocks
    reference_points: TensorSpec  # [V, N, 2] float32
    sampling_offsets: TensorSpec  # [N, heads * levels * points * 2] float32, in pixels
    attention_logits: TensorSpec  # [N, heads * levels * points] float32
    view_weight: str  # [d]
    view_bias: str  # [1]
    output: TensorSpec  # [N, d], of the value's dtype
    num_heads: int
    num_points: int


class GridSampleStep(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="grid_sample", tag_field="step"
):
    """ONNX ``GridSample`` in mode ``linear``, over planes or volumes, by the CUDA kernel.

    Outside the input, ``zeros`` reads 0 and ``border`` the nearest cell.
    """

    input: TensorSpec  # [B, C, H, W] or [B, C, D, H, W] float32; B is 1 where the grid's is more
    grid: TensorSpec  # [B, H', W', 2] or [B, D', H', W', 3] float32; (x, y) or (x, y, z) in [-1, 1]
    output: TensorSpec  # [B, C, H', W'] or [B, C, D', H', W'] float32
    padding_mode: Literal["zeros", "border"]
    align_corners: bool


GpuStep = GpuSegmentStep | GpuCrossAttentionStep | GridSampleStep


class GpuPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stage on a GPU as steps in order; all tensors are contiguous device memory."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    steps: list[GpuStep]


class GpuIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The GPU an engine was built for; None where the engine fits every GPU of that kind."""

    sm: str  # "sm_89"
    multiprocessors: int | None = None
    memory_bytes: int | None = None


class EngineIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides whether a built engine may be used, or must be built again."""

    onnx_sha256: str  # of the graph with its weights inside
    builder: str  # "tensorrt 11.4.0.106"
    kernels: str  # version of the CUDA kernels inside, "" where there are none
    precision: Literal["fp32", "fp16", "bf16"]
    views: Range
    tokens: Range
    gpu: GpuIdentity


class GpuPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a GPU runs instead of the CPU's plans."""

    backend: Literal["cuda", "tensorrt", "tensorrt-rtx"]
    precision: Literal["fp32", "fp16", "bf16"]
    targets: list[str]  # ["sm_86", "sm_89"], or ["any"]
    plans: dict[str, GpuPlan]
    engines: dict[str, EngineIdentity]  # by file; empty for the backend cuda
    command: str  # that makes the bundle again


class RopeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Voxel centres along one axis and the RoPE index of each (specimen of the exact rounding)."""

    grid_size: int
    xyz_scale: float
    axis: list[float]
    index: list[int]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bundle was made from."""

    checkpoint: str
    sha256: str
    trained: bool


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and hash of a file of the bundle."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a run time needs to know about a bundle."""

    schema_version: int
    geolrm_version: str
    model: str
    backend: Literal["onnxruntime"]
    precision: Literal["fp32", "fp16"]
    self_attention: Literal["token", "head"]
    image_size: int
    fov_degrees: float
    views: Range
    tokens: Range
    padded_tokens: int | None
    level_shapes: list[tuple[int, int]]
    feature_dim: int
    gaussians_per_anchor: int
    rope: RopeTable
    source: Source
    graphs: dict[str, str]
    plans: dict[str, Plan]
    files: dict[str, FileEntry]
    world_frame: str = WORLD_FRAME
    camera_convention: str = CAMERA_CONVENTION
    versions: dict[str, str] = {}
    # Absent, not 0, where nothing is refined: older manifests then keep their checksum.
    refine_steps: int | msgspec.UnsetType = msgspec.UNSET
    # Absent, not null, without a GPU: older manifests then keep their checksum.
    gpu: GpuPart | msgspec.UnsetType = msgspec.UNSET
    checksum: str = ""  # SHA-256 of the manifest with this field empty


def digest(manifest: Manifest) -> str:
    """SHA-256 over every other field."""
    blank = msgspec.structs.replace(manifest, checksum="")
    return hashlib.sha256(msgspec.json.encode(blank)).hexdigest()


class _Header(msgspec.Struct):
    schema_version: int


def schema_version(raw: bytes) -> int:
    """The schema version of a manifest, before the rest is read."""
    return msgspec.json.decode(raw, type=_Header).schema_version


def decode(raw: bytes) -> Manifest:
    """Parse strictly; raises ``msgspec.ValidationError`` with the offending path."""
    return msgspec.json.decode(raw, type=Manifest)


def encode(manifest: Manifest) -> bytes:
    """Indented JSON with its checksum and a final newline."""
    manifest = msgspec.structs.replace(manifest, checksum=digest(manifest))
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
