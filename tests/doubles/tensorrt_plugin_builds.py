"""TensorRT's Python bindings without TensorRT, and dimensions that are expressions.

Its libraries are replaced by ones whose functions return null.

Run as a program it reads cases from stdin, takes each through the steps of an engine build, and
writes what TensorRT would have been told.
"""

import ctypes
import importlib
import json
import subprocess
import sys
from pathlib import Path

LIBRARIES = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")
SYMBOLS = """createInferBuilder_INTERNAL createInferRefitter_INTERNAL createInferRuntime_INTERNAL
    getBuilderPluginRegistry getPluginRegistry initLibNvInferPlugins createNvOnnxParser_INTERNAL
    createNvOnnxParserRefitter_INTERNAL getNvOnnxParserVersion""".split()


def build_library_doubles(folder: Path) -> None:
    """Libraries under TensorRT's names whose functions all return null."""
    source = folder / "libraries.cpp"
    functions = "\n".join(f"void* {name}() {{ return nullptr; }}" for name in SYMBOLS)
    source.write_text(f'extern "C" {{\n{functions}\n}}\n')
    for name in LIBRARIES:
        command = ["g++", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, source]
        subprocess.run(command, check=True)


def load(folder: Path):
    """The bindings under the name ``tensorrt``."""
    for name in LIBRARIES:
        ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    import tensorrt_bindings  # pyright: ignore[reportMissingImports]

    sys.modules["tensorrt"] = tensorrt_bindings
    tensorrt_bindings.IDimensionExpr = Expression
    tensorrt_bindings.DimsExprs = lambda length: [None] * length
    return tensorrt_bindings


class Expression:
    """A symbol ``{"name": 1}`` or a constant, or an operation on two of them."""

    def __init__(self, symbol=None, number=None, parts=()):
        self.symbol, self.number, self.parts = symbol, number, parts

    def is_constant(self):
        return self.symbol is None and all(p.is_constant() for p in self.parts[1:])

    def get_constant_value(self):
        assert self.is_constant()
        return self.at({})

    def at(self, sizes):
        if self.symbol is not None:
            return sizes[self.symbol]
        if not self.parts:
            return self.number
        operation, *operands = self.parts
        a, b = (operand.at(sizes) for operand in operands)
        return {
            "SUM": lambda: a + b,
            "PROD": lambda: a * b,
            "SUB": lambda: a - b,
            "MIN": lambda: min(a, b),
            "MAX": lambda: max(a, b),
            "FLOOR_DIV": lambda: a // b,
            "CEIL_DIV": lambda: -(-a // b),
        }[operation.name]()


class Builder:
    """Of expressions."""

    def constant(self, number):
        return Expression(number=number)

    def operation(self, operation, a, b):
        return Expression(parts=(operation, a, b))


def run(trt, case):
    """One plugin node: types, shapes, kernel, launch."""
    import numpy as np
    from tensorrt.plugin import _lib, _tensor

    class Argument:  # of a launch: the real one takes only TensorRT's own expressions
        def __init__(self, expression):
            assert isinstance(expression, _tensor.SymInt32), type(expression)
            self.expr = expression._expr

    _tensor.SymExprImpl = Argument
    namespace, name = case["plugin"].split("::")
    definition = _lib.QDP_REGISTRY[case["plugin"]]
    fields = {key: (True, kind) for key, kind in definition.input_attrs.items()}
    creator = _lib._TemplatePluginCreator(name, namespace, fields)
    values = [
        trt.PluginField(key, np.array([value]), trt.PluginFieldType.INT64)
        for key, value in case["attributes"].items()
    ]
    plugin = creator.create_plugin(
        name, namespace, trt.PluginFieldCollection(values), trt.TensorRTPhase.BUILD,
        trt.QuickPluginCreationRequest.STRICT_AOT,
    )  # fmt: skip
    types = [getattr(trt.DataType, each) for each in case["types"]]
    out = plugin.get_output_data_types(types, [len(shape) for shape in case["shapes"]])
    shapes = [
        [Expression(**({"symbol": d} if isinstance(d, str) else {"number": d})) for d in shape]
        for shape in case["shapes"]
    ]
    (out_shape,) = plugin.get_output_shapes(shapes, [], Builder())
    descriptions = []
    for kind, shape in zip([*types, *out], [*shapes, out_shape], strict=True):
        description = trt.DynamicPluginTensorDesc()
        dims = [d.get_constant_value() if d.is_constant() else -1 for d in shape]
        description.desc.type, description.desc.dims = kind, dims
        description.desc.format = trt.TensorFormat.LINEAR
        descriptions.append(description)
    formats = plugin.get_supported_format_combinations(descriptions, len(shapes))
    plugin.set_tactic(0)

    class Bag:
        pass

    class Arguments(dict):
        nbSymExprs = 0

    launch, arguments = Bag(), Arguments()
    plugin.get_launch_params(shapes, descriptions, len(shapes), launch, arguments, Builder())
    described = [d.desc for d in descriptions]
    entry, code = plugin.get_kernel(described[:-1], described[-1:])
    assert len(arguments) == arguments.nbSymExprs

    def at(sizes):
        kinds = ("grid", "block")
        made = {k: [getattr(launch, f"{k}_{a}").expr.at(sizes) for a in "xyz"] for k in kinds}
        made["shared_bytes"] = launch.shared_mem.expr.at(sizes)
        made["integers"] = [arguments[i].expr.at(sizes) for i in range(len(arguments))]
        made["out_shape"] = [d.at(sizes) for d in out_shape]
        return made

    return {
        "entry": entry,
        "ptx": code.decode(),
        "out_type": out[0].name,
        "formats": [each.format.name for each in formats],
        "types": [each.type.name for each in formats],
        "launches": [at(sizes) for sizes in case["sizes"]],
    }


def main():
    trt = load(Path(sys.argv[1]))
    sys.stdout.flush()
    plugin = importlib.import_module("tensorrt.plugin")
    from geolrm.plugins import registration

    version = registration.register(plugin, "sm_89", lazy=True)
    again = registration.register(plugin, "sm_89", lazy=True)
    results = []
    for case in json.load(sys.stdin):
        try:
            results.append(run(trt, case))
        except Exception as error:
            results.append({"error": f"{type(error).__name__}: {error}"})
    from tensorrt.plugin import _lib

    facts = {
        "version": version,
        "again": again,
        "registered": sorted(_lib.QDP_REGISTRY),
        "in_tensorrt": sorted(_lib.QDP_CREATORS),
        "attributes": {k: list(d.input_attrs) for k, d in _lib.QDP_REGISTRY.items()},
    }
    print("\nRESULT" + json.dumps({"facts": facts, "results": results}))


if __name__ == "__main__":
    main()
