"""Describe a kernel as TensorRT asks it of an ahead-of-time plugin, by its own launch."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from geolrm.engine.cuda.compiler import compile_source
from geolrm.engine.cuda.launch import Launch, Source
from geolrm.engine.errors import GeoLRMError

# TensorRT's names of the kernels' storage types.
STORAGE = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
INTEGERS = {"INT32": "int32", "INT64": "int64"}


def storage(tensor: Any) -> str:
    """Return the storage type of a tensor of floats."""
    return _known(tensor, STORAGE)


def integer(tensor: Any) -> str:
    """Return the type of a tensor of integers."""
    return _known(tensor, INTEGERS)


def constant(size: Any) -> int:
    """Return a side that the kernel is built for, which must not be dynamic."""
    if not size.is_constant:
        raise GeoLRMError("a side that a plugin's kernel is built for is dynamic; export it again")
    return size.constant_value()


def describe(
    plugin: ModuleType,
    arch: str,
    source: Source,
    entry: str,
    launch: Launch,
    integers: Sequence[Any],
) -> tuple[str, bytes, Any, Any]:
    """Return name, PTX, geometry and integer arguments, in the form of ``aot_impl``.

    Args:
        plugin: The module ``tensorrt.plugin``.
        arch: ``compute_NN`` of the GPU that the TensorRT engine is built for.
        source: Of the kernel.
        entry: Its name in the source.
        launch: Geometry whose grid may hold expressions of the shapes.
        integers: That the kernel takes between its inputs and its output.
    """
    params = plugin.KernelLaunchParams()
    params.grid_x, params.grid_y, params.grid_z = launch.grid
    params.block_x, params.block_y, params.block_z = launch.block
    params.shared_mem = launch.shared_bytes
    arguments = plugin.SymIntExprs(len(integers))
    for index, number in enumerate(integers):
        arguments[index] = plugin.SymInt32(number)
    ptx = compile_source(source.name, arch, source.defines).code
    return entry, ptx, params, arguments


def _known(tensor: Any, names: dict[str, str]) -> str:
    name = tensor.dtype.name
    if name not in names:
        raise GeoLRMError(f"a plugin's tensor is {name}; it must be one of {', '.join(names)}")
    return names[name]
