"""``geolrm::GridSample`` for TensorRT: ONNX ``GridSample``, mode linear, by our own kernel.

TensorRT 10.14 and later is reported to miscompile its own.
"""

# pyright: reportInvalidTypeForm=false
# TensorRT reads the annotations, whose types exist only where it is imported.

from collections.abc import Callable
from types import ModuleType

from geolrm.engine.backends.cuda.kernels import GridSample
from geolrm.plugins.kernel_description import constant, describe, storage

NAME = "GridSample"


def callbacks(plugin: ModuleType, arch: str) -> tuple[Callable, Callable]:
    """Make what TensorRT asks for the output's shape, and for the kernel, on ``arch``."""
    Desc = plugin.TensorDesc

    # The attributes stand in the order in which TensorRT hands them over.
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

    return shapes, kernel
