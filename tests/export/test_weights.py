import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from geolrm.export.weights import qualify_constants, store_half, write_weights


def model(matrix=None):
    """x @ matrix + bias, with a matrix of 16 x 16."""
    matrix = np.eye(16, dtype=np.float32) if matrix is None else matrix
    tensors = {"layer.weight": matrix, "layer.bias": np.ones(16, np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "layer.weight"], ["y"]),
        helper.make_node("Add", ["y", "layer.bias"], ["z"]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 16]) for n in "xz"]
    initializers = [numpy_helper.from_array(a, n) for n, a in tensors.items()]
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers))


def names(made):
    return [tensor.name for tensor in made.graph.initializer]


def test_constants_that_are_no_parameters_get_the_graphs_name():
    made = model()
    qualify_constants("proposal", made, {"layer.weight"})
    assert names(made) == ["layer.weight", "proposal.layer.bias"]
    assert made.graph.node[1].input[1] == "proposal.layer.bias"


def test_matrices_are_stored_in_half_and_cast_back():
    made = model()
    store_half(made, {"layer.weight", "layer.bias"})
    kinds = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert kinds == {"layer.weight": TensorProto.FLOAT16, "layer.bias": TensorProto.FLOAT}
    cast, product, _ = made.graph.node
    assert cast.op_type == "Cast" and product.input[1] == cast.output[0]
    onnx.checker.check_model(made)


def test_weights_of_two_graphs_are_stored_once(tmp_path):
    models = [model(), model()]
    write_weights(tmp_path, models, {}, {"a": "b"})
    stored = load_file(tmp_path / "weights.safetensors")
    assert set(stored) == {"layer.weight", "layer.bias"}
    np.testing.assert_array_equal(stored["layer.weight"], np.eye(16))
    assert all(t.data_location == TensorProto.EXTERNAL for t in models[1].graph.initializer)


def test_two_tensors_under_one_name_are_refused(tmp_path):
    models = [model(), model(2 * np.eye(16, dtype=np.float32))]
    with pytest.raises(ValueError, match="two graphs hold different tensors under 'layer.weight'"):
        write_weights(tmp_path, models, {}, {})
