from onnx import TensorProto, helper

from geolrm.engine.bundle.plan import ScratchBytes
from geolrm.export.scratch import scratch_bytes

KINDS = {"half": TensorProto.FLOAT16, "float": TensorProto.FLOAT}


def test_what_lives_at_the_fullest_moment():
    values = {
        name: helper.make_tensor_value_info(name, KINDS[kind], shape)
        for name, kind, shape in [
            ("x", "half", ["anchors", 8]),
            ("a", "half", ["anchors", 8]),
            ("b", "float", ["views", "anchors", 3]),
            ("flat", "float", ["3*anchors", "views"]),
            ("c", "float", ["views", "anchors", 3]),
            ("d", "half", ["16*views", 5]),
            ("e", "half", [7]),
            ("y", "half", ["anchors", 8]),
        ]
    }
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Expand", ["a", "w"], ["b"]),
        helper.make_node("Reshape", ["b", "w"], ["flat"]),  # a view: no memory, but b lives on
        helper.make_node("Relu", ["x"], ["d"]),
        helper.make_node("Relu", ["flat"], ["c"]),  # here: a, b, c, d
        helper.make_node("Add", ["a", "c"], ["e"]),
        helper.make_node("Sum", ["e", "d"], ["y"]),
    ]
    weight = helper.make_tensor("w", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "g", [values["x"]], [values["y"]], [weight])
    scratch = scratch_bytes(helper.make_model(graph), values)
    assert scratch == ScratchBytes(0, 160, 16, 24)
    assert scratch.at({"views": 2, "anchors": 10}) == 2 * 160 + 10 * 16 + 20 * 24


def test_a_graph_of_nothing_but_its_outputs_needs_none():
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    assert scratch_bytes(helper.make_model(graph), {}) == ScratchBytes(0, 0, 0, 0)
