from types import SimpleNamespace

import pytest

from geolrm.engine.cuda.launch import Launch, Source
from geolrm.engine.errors import GeoLRMError
from geolrm.plugins import kernel_description
from geolrm.plugins.kernel_description import constant, describe, integer, storage


def tensor(name):
    return SimpleNamespace(dtype=SimpleNamespace(name=name))


def test_types_of_tensors_are_named_as_the_kernels_do():
    assert [storage(tensor(n)) for n in ("FLOAT", "HALF", "BF16")] == [
        "float32", "float16", "bfloat16",
    ]  # fmt: skip
    assert integer(tensor("INT64")) == "int64"
    with pytest.raises(GeoLRMError, match="tensor is INT8; it must be one of FLOAT, HALF, BF16"):
        storage(tensor("INT8"))


def test_a_side_must_be_constant():
    assert constant(SimpleNamespace(is_constant=True, constant_value=lambda: 48)) == 48
    with pytest.raises(GeoLRMError, match="is dynamic; export it again"):
        constant(SimpleNamespace(is_constant=False))


def test_a_launch_becomes_what_tensorrt_asks_for(monkeypatch):
    asked = []

    def compile_source(*given):
        asked.append(given)
        return SimpleNamespace(code=b"ptx")

    monkeypatch.setattr(kernel_description, "compile_source", compile_source)
    plugin = SimpleNamespace(
        KernelLaunchParams=SimpleNamespace, SymIntExprs=lambda n: [None] * n, SymInt32=float
    )
    launch = Launch((2, 3, 1), (128, 1, 1), 4096)
    made = describe(plugin, "compute_89", Source("a", {"X": 1}), "entry", launch, (7, 8))
    entry, ptx, parameters, numbers = made
    assert (entry, ptx, numbers) == ("entry", b"ptx", [7.0, 8.0])
    assert asked == [("a", "compute_89", {"X": 1})]
    assert (parameters.grid_y, parameters.block_x, parameters.shared_mem) == (3, 128, 4096)
