"""One safetensors file for all weights of a bundle; the graphs point into it."""

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from torch import nn

from geolrm.engine.bundle.manifest import WEIGHTS_NAME

INLINE_BYTES = 256  # scalars and shapes stay in the graph


def qualify_constants(name: str, model: onnx.ModelProto, parameters: set[str]) -> None:
    """Prefix constants that are no parameters with the graph's name, so that names are unique."""
    onnx_graph = model.graph
    renamed = {}
    for tensor in onnx_graph.initializer:
        if tensor.name not in parameters:
            renamed[tensor.name] = tensor.name = f"{name}.{tensor.name}"
    renamed = {new.removeprefix(f"{name}."): new for new in renamed.values()}
    for node in onnx_graph.node:
        node.input[:] = [renamed.get(read, read) for read in node.input]
    for value in onnx_graph.value_info:
        value.name = renamed.get(value.name, value.name)


def parameter_arrays(model: nn.Module, half: bool) -> dict[str, NDArray]:
    """Return parameters and buffers under the checkpoint's names, as a bundle stores them."""
    return {
        name: _stored(tensor.detach().cpu().numpy(), half)
        for name, tensor in model.state_dict().items()
    }


def store_half(model: onnx.ModelProto, parameters: set[str]) -> None:
    """Store matrices and filters as float16 and cast them back: fp16 storage, fp32 arithmetic.

    Vectors (norms, biases) and constants that are no parameters stay fp32.
    """
    casts, full = [], {}
    for tensor in model.graph.initializer:
        name = tensor.name
        if name not in parameters or tensor.data_type != TensorProto.FLOAT:
            continue
        stored = _stored(numpy_helper.to_array(tensor), half=True)
        if stored.dtype == np.float16:
            full[name] = f"{name}.fp32"
            casts.append(helper.make_node("Cast", [name], [full[name]], to=TensorProto.FLOAT))
            tensor.CopyFrom(numpy_helper.from_array(stored, name))
    nodes = list(model.graph.node)
    for node in nodes:
        node.input[:] = [full.get(name, name) for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])


def write_weights(
    folder: Path,
    models: Iterable[onnx.ModelProto],
    extra: Mapping[str, NDArray],
    metadata: dict[str, str],
) -> None:
    """Move the initializers of all models into one file, each stored once by name.

    Args:
        folder: The bundle; the file is ``weights.safetensors``.
        models: Changed in place: their initializers then point into the file.
        extra: Further tensors that no graph holds.
        metadata: Of the safetensors header.
    """
    arrays: dict[str, NDArray] = dict(extra)
    moved: list[TensorProto] = []
    for model in models:
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            shape_like = tensor.data_type == TensorProto.INT64 or array.ndim == 0
            if array.nbytes <= INLINE_BYTES and shape_like and tensor.name not in extra:
                continue
            known = arrays.setdefault(tensor.name, array)
            if known.dtype != array.dtype or not np.array_equal(known, array):
                raise ValueError(f"two graphs hold different tensors under {tensor.name!r}")
            moved.append(tensor)
    path = folder / WEIGHTS_NAME
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path, metadata)
    header, start = read_header(path)
    for tensor in moved:
        first, last = header[tensor.name]["data_offsets"]
        entries = {"location": WEIGHTS_NAME, "offset": start + first, "length": last - first}
        tensor.ClearField("raw_data")
        del tensor.external_data[:]
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))


def read_header(path: Path) -> tuple[dict, int]:
    """Read the header of a safetensors file, and the byte at which its data starts."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length)), 8 + length


def is_stored_half(shape: tuple[int, ...]) -> bool:
    """Tell whether float16 storage holds an array of this shape as float16: matrices, filters."""
    return sum(side > 1 for side in shape) >= 2


def _stored(array: NDArray, half: bool) -> NDArray:
    narrow = half and array.dtype == np.float32 and is_stored_half(array.shape)
    return array.astype(np.float16) if narrow else array
