"""What a backend runs: the stages of a model, as steps over tensors of known shape and lifetime.

Every backend runs the same kind of plan. Its steps differ in what a backend has kernels for, and in
the files that its segments run.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Literal, cast

import msgspec

# What files may hold; checked when a manifest is decoded, not when a plan is made. No text breaks
# out of its line in a message: no control characters, none that turn the direction of writing.
PRINTABLE = r"\A[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*\Z"
Text = Annotated[str, msgspec.Meta(max_length=4096, pattern=PRINTABLE)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=PRINTABLE)]
Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
Count = Annotated[int, msgspec.Meta(ge=1, le=4096)]  # of heads, or of samples
Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 45)]
SYMBOLIC = r"\A([1-9][0-9]{0,4}\*){0,2}(views|anchors)\Z"

# A number, "views", "anchors", or a multiple such as "16*anchors".
Dim = Size | Annotated[str, msgspec.Meta(max_length=40, pattern=SYMBOLIC)]
Names = Annotated[list[Name], msgspec.Meta(max_length=256)]
Dims = Mapping[str, int]  # how many views and anchors there are
Role = Literal["encoder", "proposal", "reconstruction"]
Reader = Literal["proposal", "reconstruction"]  # of an encoder's features

ITEMSIZE = {"float32": 4, "int64": 8, "int32": 4, "float16": 2, "bfloat16": 2, "uint8": 1}
ANY_GPU = "any"  # target of a graph that every GPU runs
CPU = "cpu"  # target of a graph for the CPU
# int32 [1], an input of stages whose anchors may be padded: how many of them are real.
ANCHOR_COUNT = "anchor_count"


def split_dim(dim: str) -> tuple[int, str]:
    """Return the factor and the symbol of a dimension such as ``anchors`` or ``16*anchors``."""
    *factors, symbol = dim.split("*")
    return math.prod(map(int, factors)), symbol


def size_of(dim: Dim, dims: Dims) -> int:
    """Return the size of a dimension for these numbers of views and anchors."""
    if isinstance(dim, int):
        return dim
    factor, symbol = split_dim(dim)
    return factor * dims[symbol]


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A contiguous tensor of a stage.

    Inputs and outputs are the caller's memory; an intermediate lives from the step that writes it
    to the last that reads it. A view is another tensor's memory in a shape of the same size.
    """

    name: Name
    dtype: Literal["float32", "int64", "int32", "float16", "bfloat16", "uint8"]
    shape: Annotated[list[Dim], msgspec.Meta(max_length=16)]
    lifetime: Literal["input", "output", "intermediate"] = "intermediate"
    view_of: Name | None = None

    def shape_at(self, dims: Dims) -> tuple[int, ...]:
        """Return the shape for these numbers of views and anchors."""
        return tuple(size_of(dim, dims) for dim in self.shape)

    def nbytes_at(self, dims: Dims) -> int:
        """Return the size in bytes for these numbers of views and anchors."""
        return math.prod(self.shape_at(dims)) * ITEMSIZE[self.dtype]


class Step(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
    tag_field="operator",
):
    """An operator with its tensors; which is which is said by each operator, in its order."""

    reads: Names
    writes: Names
    weights: Names = []  # tensors of the weights file

    @property
    def operator(self) -> str:
        """The operator's name, by which a backend finds what executes the step."""
        return cast(str, self.__struct_config__.tag)


class ScratchBytes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Memory that a segment needs inside, estimated: fixed, for each view, anchor, and pair."""

    fixed: Bytes
    a_view: Bytes
    an_anchor: Bytes
    a_pair: Bytes

    def at(self, dims: Dims) -> int:
        """Return the bytes for these numbers of views and anchors."""
        views, anchors = dims["views"], dims["anchors"]
        return (
            self.fixed
            + self.a_view * views
            + self.an_anchor * anchors
            + self.a_pair * views * anchors
        )


class SegmentStep(Step, frozen=True, tag="segment"):
    """Run a graph or a TensorRT engine.

    ``files`` maps a target (``cpu``, ``any`` or ``sm_89``) to the file made for it.
    """

    name: Name  # as messages call it, "proposal.segment03"
    files: Annotated[dict[Name, Name], msgspec.Meta(max_length=64)]
    scratch: ScratchBytes | None = None  # None where it is unknown


class SelfAttentionStep(Step, frozen=True, tag="self_attention"):
    """Attend by softmax over all queries, each head for itself.

    Reads query, key and value [1, N, d]; writes [1, N, d].
    """

    num_heads: Count


class ValueProjectionStep(Step, frozen=True, tag="value_projection"):
    """Project those rows of features to values that some sample reads.

    Reads features [V, L, C], reference_points [V, N, 2] and sampling_offsets; writes values
    [V, heads, L, e], and touched [V, L], which says of a row whether it is read. The weights are
    [d, C] and, where there is one, the bias [d]; d = heads * e.
    """

    num_heads: Count
    num_points: Count


class DeformableCrossAttentionStep(Step, frozen=True, tag="deformable_cross_attention"):
    """Sample values at all levels, and fuse samples and views.

    Reads values ([V, heads, L, e] on the CPU; on GPUs [V, L, d], heads in contiguous blocks),
    reference_points [V, N, 2], sampling_offsets [N, heads * levels * points * 2] in pixels, and
    attention_logits [N, heads * levels * points], the last three float32; on GPUs also the
    query_order [N] where there is one. Writes [N, d]. The weights are those of a view's logit, [d]
    and [1], and on GPUs a bias [d] that the values still lack, where there is one; the levels'
    shapes are the manifest's.
    """

    num_heads: Count
    num_points: Count


class QueryOrderStep(Step, frozen=True, tag="query_order"):
    """Sort anchors along a curve through space, so that neighbours are sampled together.

    Reads anchors [N, 3]; writes a permutation, int32 [N].
    """


class GridSampleStep(Step, frozen=True, tag="grid_sample"):
    """Sample planes or volumes linearly, as ONNX ``GridSample`` in mode ``linear`` does.

    Reads the input [B, C, H, W] or [B, C, D, H, W], B = 1 where the grid's is more, and the grid
    [B, H', W', 2] or [B, D', H', W', 3], (x, y) or (x, y, z) in [-1, 1]; writes [B, C, H', W'] or
    [B, C, D', H', W']; all float32. Outside the input, ``zeros`` reads 0 and ``border`` the nearest
    cell.
    """

    padding_mode: Literal["zeros", "border"]
    align_corners: bool


AnyStep = (
    SegmentStep
    | SelfAttentionStep
    | ValueProjectionStep
    | DeformableCrossAttentionStep
    | QueryOrderStep
    | GridSampleStep
)


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One stage of a model as steps in order.

    Raises:
        ValueError: A step reads what is not there yet, or no step writes an output.
    """

    role: Role
    tensors: Annotated[list[Tensor], msgspec.Meta(max_length=4096)]  # views behind what they show
    steps: Annotated[list[AnyStep], msgspec.Meta(max_length=2048)]
    features_for: Annotated[list[Reader], msgspec.Meta(max_length=2)] = []  # of an encoder

    def __post_init__(self) -> None:
        known = {tensor.name: tensor.view_of for tensor in self.tensors}
        there = {tensor.name for tensor in self.inputs}
        for step in self.steps:
            for name in step.reads:
                if known.get(name) not in there and name not in there:
                    raise ValueError(f"a step reads {name!r}, which no step before it writes")
            if unknown := set(step.writes) - set(known):
                raise ValueError(f"a step writes {min(unknown)!r}, which is none of the tensors")
            there |= set(step.writes)
        if missing := {tensor.name for tensor in self.outputs} - there:
            raise ValueError(f"no step writes the output {min(missing)!r}")

    @property
    def inputs(self) -> list[Tensor]:
        """What the caller gives."""
        return [tensor for tensor in self.tensors if tensor.lifetime == "input"]

    @property
    def outputs(self) -> list[Tensor]:
        """What the caller gets."""
        return [tensor for tensor in self.tensors if tensor.lifetime == "output"]

    @property
    def segments(self) -> list[SegmentStep]:
        """The steps that run files."""
        return cast(
            "list[SegmentStep]", [step for step in self.steps if step.operator == "segment"]
        )

    @property
    def weights(self) -> set[str]:
        """Names of what the kernels need of the weights file."""
        return {name for step in self.steps for name in step.weights}

    def named(self, names: list[str]) -> list[Tensor]:
        """Return tensors by their names, in this order."""
        known = {tensor.name: tensor for tensor in self.tensors}
        return [known[name] for name in names]

    def reads(self, name: str) -> bool:
        """Return whether an input has this name."""
        return any(tensor.name == name for tensor in self.inputs)
