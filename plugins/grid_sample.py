"""``geolrm::GridSample`` for TensorRT: ONNX ``GridSample``, mode linear, by our own kernel.

TensorRT 10.14 and later is reported to miscompile its own.
"""

from types import ModuleType

from geolrm.engine.backends.cuda.kernels import GridSample
from geolrm.plugins.kernel_description import constant, describe, storage

NAME = "GridSample"


def define(plugin: ModuleType, plugin_id: str, arch: str, *, lazy: bool = False) -> None:
    """Register the plugin.

    Args:
        plugin: The module ``tensorrt.plugin``.
        plugin_id: Namespace and name.
        arch: ``compute_NN`` of the GPU that engines are built for.
        lazy: Leave TensorRT's own registry alone until the plugin is used.
    """
    Desc = plugin.TensorDesc

    # TensorRT reads the annotations, and hands attributes over in this order.
    def shapes(input: Desc, grid: Desc, align_corners: int, border: int) -> Desc:
        batch, channels = input.shape_expr[0], input.shape_expr[1]
        inner = list(grid.shape_expr)[1:-1]
        return plugin.from_shape_expr((batch, channels, *inner), input.dtype)

    def kernel(
        input, grid, align_corners, border, outputs, tactic
    ) -> tuple[str, bytes, plugin.KernelLaunchParams, plugin.SymIntExprs]:
        batch, *fixed = input.shape_expr
        shape = tuple(constant(side) for side in fixed)
        points, *others = list(grid.shape_expr)[1:-1]
        for side in others:
            points = points * side
        padding = "border" if border else "zeros"
        made = GridSample(storage(input), storage(grid), padding, bool(align_corners))
        launch = made.launch(batch, shape[0], points, plugin.cdiv)
        return describe(plugin, arch, made.source, made.entry, launch, made.sizes(shape, points))

    plugin.register(plugin_id, lazy_register=lazy)(shapes)
    plugin.aot_impl(plugin_id)(kernel)
