"""The versioned description of a bundle: ``manifest.json``, read and written strictly."""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from geolrm.engine.bundle.plan import Bytes, Name, SegmentStep, Size, Stage, Text
from geolrm.engine.errors import InputError

SCHEMA_VERSION = 2
MANIFEST_NAME = "manifest.json"
WEIGHTS_NAME = "weights.safetensors"
CONFIG_KEY = "geolrm.config"  # in the header of weights that are a checkpoint, too

WORLD_FRAME = "right-handed, z up, object inside the cube [-0.5, 0.5]^3"
CAMERA_CONVENTION = (
    "c2w: OpenGL camera-to-world (x right, y up, looks along -z); "
    "intrinsics divided by the image size"
)

MAX_REFINE_STEPS, MAX_UPDATE_STEPS = 1000, 64
# Far beyond what a model needs, and little enough that nothing hangs over them.
MAX_VIEWS, MAX_ANCHORS, MAX_GRID, MAX_SIDE, MAX_FILES = 4096, 1 << 24, 1024, 16384, 16384
BACKENDS = ("auto", "tensorrt-rtx", "tensorrt", "cuda", "onnxruntime")  # the preferred first


GridSize = Annotated[int, Meta(ge=2, le=MAX_GRID)]
Side = Annotated[int, Meta(ge=1, le=MAX_SIDE)]  # of images and of features, in pixels
Targets = Annotated[list[Name], Meta(min_length=1, max_length=64)]


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Smallest, preferred and largest number of something."""

    min: Size
    opt: Size
    max: Size

    def check(self, option: str) -> None:
        """Refuse, as the value of an option, what is empty or out of order."""
        if not 1 <= self.min <= self.opt <= self.max:
            raise InputError(
                f"{option} is {self.min}:{self.opt}:{self.max}; it must satisfy "
                "1 <= MIN <= OPT <= MAX"
            )


class GpuIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The GPU an engine was built for; None where the engine fits every GPU of that kind."""

    sm: Text  # "sm_89"
    multiprocessors: Size | None = None
    memory_bytes: Bytes | None = None


class EngineIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides whether a TensorRT engine may be used, or must be built again."""

    onnx_sha256: Text  # of the graph with its weights inside
    builder: Text  # "tensorrt 11.4.0.106"
    kernels: Text  # version of the CUDA kernels inside, or how it was built otherwise
    precision: Literal["fp32", "fp16", "bf16"]
    views: Range
    anchors: Range
    gpu: GpuIdentity


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one backend runs."""

    backend: Literal["onnxruntime", "cuda", "tensorrt", "tensorrt-rtx"]
    precision: Literal["fp32", "fp16", "bf16"]
    targets: Targets  # ["cpu"], ["any"], or ["sm_86", "sm_89"]
    stages: Annotated[dict[Name, Stage], Meta(max_length=16)]
    engines: Annotated[dict[Name, EngineIdentity], Meta(max_length=4096)]  # of TensorRT, by file
    command: Text  # that makes the bundle again

    @property
    def segments(self) -> list[SegmentStep]:
        """The steps of all stages that run files."""
        return [step for stage in self.stages.values() for step in stage.segments]

    @property
    def weights(self) -> set[str]:
        """Names of what the kernels need of the weights file."""
        return {name for stage in self.stages.values() for name in stage.weights}


class RopeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Voxel centres along one axis and the RoPE index of each (specimen of the exact rounding)."""

    grid_size: GridSize
    xyz_scale: Annotated[float, Meta(ge=1e-3, le=1e3)]
    axis: Annotated[list[Annotated[float, Meta(ge=-1, le=1)]], Meta(max_length=MAX_GRID)]
    index: Annotated[list[int], Meta(max_length=MAX_GRID)]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bundle was made from."""

    checkpoint: Text
    sha256: Text
    trained: bool


class UpdateEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network of the learned refinement."""

    graph: Name  # the file that runs a step
    steps: Annotated[int, Meta(ge=1, le=MAX_UPDATE_STEPS)]
    views: Annotated[int, Meta(ge=1, le=MAX_VIEWS)]  # that a step compares at most


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and hash of a file of the bundle."""

    bytes: Bytes
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a run time needs to know about a bundle."""

    schema_version: int
    geolrm_version: Text
    model: Name
    precision: Literal["fp32", "fp16"]  # of the stored weights
    self_attention: Literal["token", "head"]
    image_size: Side
    fov_degrees: Annotated[float, Meta(ge=1, le=179)]
    views: Range
    anchors: Range
    padded_anchors: Annotated[int, Meta(ge=1, le=MAX_ANCHORS)] | None
    level_shapes: Annotated[list[tuple[Side, Side]], Meta(min_length=1, max_length=16)]
    feature_dim: Annotated[int, Meta(ge=1, le=1 << 16)]
    gaussians_per_anchor: Annotated[int, Meta(ge=1, le=1024)]
    rope: RopeTable
    source: Source
    graphs: Annotated[dict[Name, Name], Meta(max_length=16)]
    artifacts: Annotated[list[Artifact], Meta(min_length=1, max_length=len(BACKENDS))]
    files: Annotated[dict[Name, FileEntry], Meta(max_length=MAX_FILES)]
    world_frame: Text = WORLD_FRAME
    camera_convention: Text = CAMERA_CONVENTION
    versions: Annotated[dict[Text, Text], Meta(max_length=256)] = {}
    refine_steps: Annotated[int, Meta(ge=0, le=MAX_REFINE_STEPS)] = 0
    update: UpdateEntry | None = None  # takes the refinement's first steps
    closing: UpdateEntry | None = None  # and its last
    checksum: Text = ""  # SHA-256 of the manifest with this field empty

    def artifact(self, backend: str) -> Artifact | None:
        """Return what a backend runs; None where the bundle holds nothing for it."""
        return next((each for each in self.artifacts if each.backend == backend), None)

    @property
    def learned(self) -> dict[str, UpdateEntry]:
        """The networks of the learned refinement, by what they are called."""
        networks = {"update": self.update, "closing": self.closing}
        return {name: entry for name, entry in networks.items() if entry is not None}

    @property
    def gpu(self) -> Artifact | None:
        """What a GPU runs; None in bundles for the CPU alone."""
        return next((each for each in self.artifacts if each.backend != "onnxruntime"), None)


def digest(manifest: Manifest) -> str:
    """Return the SHA-256 over every other field."""
    fields = msgspec.to_builtins(msgspec.structs.replace(manifest, checksum=""))
    for name in ("update", "closing"):
        if fields[name] is None:
            del fields[name]  # as in bundles from before there were any
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()


class _Header(msgspec.Struct):
    schema_version: int


def schema_version(raw: bytes) -> int:
    """Return the schema version of a manifest, before the rest is read."""
    return msgspec.json.decode(raw, type=_Header).schema_version


def decode(raw: bytes) -> Manifest:
    """Parse strictly; raises ``msgspec.ValidationError`` with the offending path."""
    return msgspec.json.decode(raw, type=Manifest)


def encode(manifest: Manifest) -> bytes:
    """Return indented JSON with its checksum and a final newline."""
    manifest = msgspec.structs.replace(manifest, checksum=digest(manifest))
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
