"""On the CPU: where the CUDA provider does not load, nothing would be logged."""

import io
import json
import sys

import onnx
import pytest
from onnx import TensorProto, helper

from geolrm.bench.gpu.packing import launch_runner


def test_a_provider_that_does_not_load_ends_it(tmp_path, monkeypatch, capsys):
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["views"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    path = tmp_path / "a.onnx"
    onnx.save(model, path)
    told = {"graphs": [{"graph": str(path), "feeds": [{"x": ["float32", [3]]}]}], "options": {}}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(told)))
    with pytest.raises(SystemExit, match="^the CUDA provider does not load over the launch log, f"):
        launch_runner.main()
    assert capsys.readouterr().out == f"{path}\n"
