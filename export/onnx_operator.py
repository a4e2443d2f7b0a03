"""``geolrm::DeformableCrossAttention``: the one custom operator of the exported graphs.

It samples all feature levels of every view, weighs the samples by a softmax, and fuses the views by
a softmax over a learned logit. Here are its torch form (for tracing), its ONNX schema, and the
model-local function that makes a file run where the operator is unknown.

Inputs, in order:
    value             [V, L, d]  projected features, heads in contiguous blocks, levels one after
                                 another
    level_shapes      [levels, 2] int64 (H, W)
    reference_points  [V, N, 2]  (u, v) in [0, 1] inside the image
    sampling_offsets  [N, heads * levels * points * 2]  (x, y) in pixels of the level
    attention_logits  [N, heads * levels * points]
    view_weight       [d]
    view_bias         [1]
Output: [N, d]. Attributes: num_heads, num_points.
"""

import functools

import torch
from torch import Tensor

from geolrm.export.deformable_sampling import sample_and_weigh

DOMAIN = "geolrm"
OPERATOR = "DeformableCrossAttention"
SELF_ATTENTION = "SelfAttention"  # of no exported graph: a node on its way to a step of a plan
DOMAIN_VERSION = 1


@torch.library.custom_op("geolrm::deformable_cross_attention", mutates_args=())
def deformable_cross_attention(
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    view_weight: Tensor,
    view_bias: Tensor,
    level_sides: list[int],
    num_heads: int,
    num_points: int,
) -> Tensor:
    """Run the operator in torch, for tracing; ``level_sides`` is (H, W) of every level, flat."""
    shapes = tuple(zip(level_sides[::2], level_sides[1::2], strict=True))
    heads = (num_heads, -1)
    per_view = sample_and_weigh(
        value.unflatten(2, heads),
        shapes,
        reference_points,
        sampling_offsets.unflatten(1, (num_heads, len(shapes), num_points, 2)),
        attention_logits.unflatten(1, heads),
    )
    weight = (per_view @ view_weight + view_bias).softmax(dim=0)
    return (weight[..., None] * per_view).sum(dim=0)


@deformable_cross_attention.register_fake
def _(value, reference_points, sampling_offsets, attention_logits, view_weight, view_bias,
      level_sides, num_heads, num_points):  # fmt: skip
    return value.new_empty(sampling_offsets.shape[0], value.shape[2])


@functools.cache
def register_schema() -> None:
    """Tell onnx about the operator, which an export needs once."""
    from onnx import defs

    tensor, shapes = ["tensor(float)", "tensor(float16)"], ["tensor(int64)"]

    def port(name: str, types: str) -> defs.OpSchema.FormalParameter:
        return defs.OpSchema.FormalParameter(name, types)

    defs.register_schema(
        defs.OpSchema(
            OPERATOR,
            DOMAIN,
            DOMAIN_VERSION,
            doc=__doc__ or "",
            inputs=[
                port("value", "T"),
                port("level_shapes", "I"),
                port("reference_points", "T"),
                port("sampling_offsets", "T"),
                port("attention_logits", "T"),
                port("view_weight", "T"),
                port("view_bias", "T"),
            ],
            outputs=[port("output", "T")],
            type_constraints=[("T", tensor, "features and queries"), ("I", shapes, "shapes")],
            attributes=[
                defs.OpSchema.Attribute("num_heads", defs.OpSchema.AttrType.INT, required=True),
                defs.OpSchema.Attribute("num_points", defs.OpSchema.AttrType.INT, required=True),
            ],
        )
    )


def translation_table() -> dict:
    """Return the ``custom_translation_table`` of ``torch.onnx.export`` for the operator."""
    from onnxscript import opset23, values

    register_schema()
    domain = values.Opset(DOMAIN, DOMAIN_VERSION)

    def translate(value, reference, offsets, logits, weight, bias, level_sides, heads, points):
        pairs = [list(level_sides[i : i + 2]) for i in range(0, len(level_sides), 2)]
        shapes = opset23.Constant(value=_int64_tensor(pairs))
        return domain.DeformableCrossAttention(
            value, shapes, reference, offsets, logits, weight, bias,
            num_heads=heads, num_points=points,
        )  # fmt: skip

    return {torch.ops.geolrm.deformable_cross_attention.default: translate}


def _int64_tensor(rows: list[list[int]]):
    import numpy as np
    from onnx import numpy_helper

    return numpy_helper.from_array(np.array(rows, dtype=np.int64))


def _level(level: int) -> str:
    """Write the lines that sample one level of one view and add to what is accumulated."""
    p, previous = f"l{level}", f"l{level - 1}_sum" if level else None
    total = f"{p}_sum = Add({previous}, {p}_out)" if previous else f"{p}_sum = Identity({p}_out)"
    return f"""
      {p}_i = Constant <value_int = {level}> ()
      {p}_hw = Gather <axis = 0> (level_shapes, {p}_i)
      {p}_h = Slice ({p}_hw, zero, one, zero)
      {p}_w = Slice ({p}_hw, one, two, zero)
      {p}_area = Mul ({p}_h, {p}_w)
      {p}_start = {"Identity (zero)" if level == 0 else f"Identity (l{level - 1}_end)"}
      {p}_end = Add ({p}_start, {p}_area)
      {p}_rows = Slice (view_value, {p}_start, {p}_end, zero)
      {p}_nhwc_shape = Concat <axis = 0> ({p}_h, {p}_w, heads, minus_one)
      {p}_nhwc = Reshape ({p}_rows, {p}_nhwc_shape)
      {p}_plane = Transpose <perm = [2, 3, 0, 1]> ({p}_nhwc)
      {p}_offset = Gather <axis = 2> (offsets, {p}_i)
      {p}_wh = Concat <axis = 0> ({p}_w, {p}_h)
      {p}_wh_f = CastLike ({p}_wh, value)
      {p}_offset_uv = Div ({p}_offset, {p}_wh_f)
      {p}_location = Add (reference, {p}_offset_uv)
      {p}_doubled = Mul ({p}_location, two_f)
      {p}_centred = Sub ({p}_doubled, one_f)
      {p}_grid = Transpose <perm = [1, 0, 2, 3]> ({p}_centred)
      {p}_sampled = GridSample <mode = "linear", padding_mode = "zeros", align_corners = 0>
        ({p}_plane, {p}_grid)
      {p}_weight = Gather <axis = 2> (weights, {p}_i)
      {p}_weight_hnp = Transpose <perm = [1, 0, 2]> ({p}_weight)
      {p}_weight_h1np = Unsqueeze ({p}_weight_hnp, one)
      {p}_weighted = Mul ({p}_sampled, {p}_weight_h1np)
      {p}_out = ReduceSum <keepdims = 0> ({p}_weighted, three)
      {total}"""


@functools.cache
def fallback_function(num_levels: int):
    """Return the operator as a model-local function of standard ONNX (opset 20 and later).

    Views are visited one at a time with a running softmax, so that memory does not grow with them.

    Returns:
        An ``onnx.FunctionProto``; its opset import must be set equal to the model's.
    """
    from onnx import parser

    levels = "".join(_level(level) for level in range(num_levels))
    function = parser.parse_function(f"""
    <domain: "{DOMAIN}", opset_import: ["" : 23]>
    {OPERATOR} <num_heads, num_points>
      (value, level_shapes, reference_points, sampling_offsets, attention_logits, view_weight,
       view_bias) => (output)
    {{
      zero = Constant <value_ints = [0]> ()
      one = Constant <value_ints = [1]> ()
      two = Constant <value_ints = [2]> ()
      three = Constant <value_ints = [3]> ()
      minus_one = Constant <value_ints = [-1]> ()
      heads_s = Constant <value_int : int = @num_heads> ()
      points_s = Constant <value_int : int = @num_points> ()
      heads = Unsqueeze (heads_s, zero)
      points = Unsqueeze (points_s, zero)
      one_32 = Constant <value_float = 1.0> ()
      two_32 = Constant <value_float = 2.0> ()
      lowest_32 = Constant <value_float = -3e38> ()
      one_f = CastLike (one_32, value)
      two_f = CastLike (two_32, value)
      level_count = Constant <value_ints = [{num_levels}]> ()
      count = Shape <start = 0, end = 1> (sampling_offsets)
      offset_shape = Concat <axis = 0> (count, heads, level_count, points, two)
      offsets = Reshape (sampling_offsets, offset_shape)
      logit_shape = Concat <axis = 0> (count, heads, minus_one)
      logits = Reshape (attention_logits, logit_shape)
      softmaxed = Softmax <axis = -1> (logits)
      weight_shape = Concat <axis = 0> (count, heads, level_count, points)
      weights = Reshape (softmaxed, weight_shape)
      channels = Shape <start = 2, end = 3> (value)
      out_shape = Concat <axis = 0> (count, channels)
      column_shape = Concat <axis = 0> (count, one)
      zero_f = CastLike (zero, value)
      first_max_32 = Expand (lowest_32, column_shape)
      first_max = CastLike (first_max_32, value)
      first_sum = Expand (zero_f, column_shape)
      first_out = Expand (zero_f, out_shape)
      views_1 = Shape <start = 0, end = 1> (value)
      views = Squeeze (views_1)
      always = Constant <value = bool {{1}}> ()
      last_max, last_sum, last_out = Loop (views, always, first_max, first_sum, first_out) <body =
        fuse_view (int64 view, bool running, old_max, old_sum, old_out)
          => (bool again, new_max, new_sum, new_out)
        {{
      again = Identity (running)
      view_value = Gather <axis = 0> (value, view)
      view_reference = Gather <axis = 0> (reference_points, view)
      reference_axes = Constant <value_ints = [1, 2]> ()
      reference = Unsqueeze (view_reference, reference_axes)
      {levels}
      queries_first = Transpose <perm = [2, 0, 1]> (l{num_levels - 1}_sum)
      sampled = Reshape (queries_first, out_shape)
      weighed = Mul (sampled, view_weight)
      view_dot = ReduceSum <keepdims = 1> (weighed, one)
      view_logit = Add (view_dot, view_bias)
      new_max = Max (old_max, view_logit)
      old_gap = Sub (old_max, new_max)
      old_scale = Exp (old_gap)
      view_gap = Sub (view_logit, new_max)
      view_scale = Exp (view_gap)
      scaled_sum = Mul (old_sum, old_scale)
      new_sum = Add (scaled_sum, view_scale)
      scaled_out = Mul (old_out, old_scale)
      view_out = Mul (sampled, view_scale)
      new_out = Add (scaled_out, view_out)
        }}>
      output = Div (last_out, last_sum)
    }}
    """)
    return function
