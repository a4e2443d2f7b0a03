"""``geolrm::DeformableCrossAttention`` for TensorRT; `export/onnx_operator.py` says what it is.

One input is added to those of the node: the order int32 [N] in which the kernel takes the queries.
"""

# pyright: reportInvalidTypeForm=false
# TensorRT reads the annotations, whose types exist only where it is imported.

from collections.abc import Callable
from types import ModuleType

from geolrm.engine.backends.cuda.kernels import DeformableCrossAttention
from geolrm.plugins.kernel_description import constant, describe, integer, storage

NAME = "DeformableCrossAttention"


def callbacks(plugin: ModuleType, arch: str) -> tuple[Callable, Callable]:
    """Make what TensorRT asks for the output's shape, and for the kernel, on ``arch``."""
    Desc = plugin.TensorDesc

    # The attributes stand in the order in which TensorRT hands them over.
    def shapes(
        value: Desc,
        level_shapes: Desc,
        reference_points: Desc,
        sampling_offsets: Desc,
        attention_logits: Desc,
        view_weight: Desc,
        view_bias: Desc,
        query_order: Desc,
        num_heads: int,
        num_points: int,
    ) -> Desc:
        sides = (sampling_offsets.shape_expr[0], value.shape_expr[2])
        return plugin.from_shape_expr(sides, value.dtype)

    def kernel(
        value,
        level_shapes,
        reference_points,
        sampling_offsets,
        attention_logits,
        view_weight,
        view_bias,
        query_order,
        num_heads,
        num_points,
        outputs,
        tactic,
    ) -> tuple[str, bytes, plugin.KernelLaunchParams, plugin.SymIntExprs]:
        views, pixels, channels = value.shape_expr
        queries = sampling_offsets.shape_expr[0]
        made = DeformableCrossAttention(
            heads=num_heads,
            head_dim=constant(channels) // num_heads,
            levels=constant(level_shapes.shape_expr[0]),
            points=num_points,
            value=storage(value),
            query=storage(sampling_offsets),
            reference=storage(reference_points),
            weight=storage(view_weight),
            out=storage(outputs[0]),
            shapes=integer(level_shapes),
        )
        launch = made.launch(queries, plugin.cdiv)
        integers = made.sizes(views, queries, constant(pixels))
        return describe(plugin, arch, made.source, made.entry, launch, integers)

    return shapes, kernel
