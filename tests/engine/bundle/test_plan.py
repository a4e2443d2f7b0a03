import msgspec
import pytest

from geolrm.engine.bundle.plan import (
    GridSampleStep,
    SegmentStep,
    SelfAttentionStep,
    Stage,
    Tensor,
    size_of,
    split_dim,
)


@pytest.mark.parametrize(
    ("dim", "factor", "symbol", "size"),
    [("views", 1, "views", 3), ("16*anchors", 16, "anchors", 112), ("2*3*views", 6, "views", 18)],
)
def test_dimensions(dim, factor, symbol, size):
    assert split_dim(dim) == (factor, symbol)
    assert size_of(dim, {"views": 3, "anchors": 7}) == size


def test_numbers_and_unknown_symbols():
    assert size_of(5, {}) == 5
    with pytest.raises(KeyError, match="frames"):
        size_of("2*frames", {"views": 3})


def test_a_tensor_has_a_size_for_numbers_of_views_and_anchors():
    tensor = Tensor("x", "float16", ["views", "16*anchors", 3])
    assert tensor.shape_at({"views": 2, "anchors": 5}) == (2, 80, 3)
    assert tensor.nbytes_at({"views": 2, "anchors": 5}) == 2 * 480


TENSORS = [
    Tensor("x", "float32", [1, "anchors", 8], "input"),
    Tensor("y", "float32", [1, "anchors", 8], "output"),
    Tensor("x.view", "float32", ["anchors", 8], view_of="x"),
]


def attention(reads, writes):
    return SelfAttentionStep(reads=reads, writes=writes, num_heads=2)


def test_a_stage_survives_its_text():
    steps = [
        attention(["x"] * 3, ["y"]),
        SegmentStep(name="s", files={"cpu": "s.onnx"}, reads=["x.view"], writes=["y"]),
        GridSampleStep(reads=["x", "x"], writes=["y"], padding_mode="zeros", align_corners=True),
    ]
    stage = Stage("encoder", TENSORS, steps, ["proposal", "reconstruction"])
    text = msgspec.json.encode(stage)
    assert msgspec.json.decode(text, type=Stage) == stage
    assert [step.operator for step in steps] == ["self_attention", "segment", "grid_sample"]
    assert [step.name for step in stage.segments] == ["s"]
    assert stage.reads("x") and not stage.reads("y")
    assert [tensor.name for tensor in stage.named(["y", "x"])] == ["y", "x"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([attention(["x", "x", "z"], ["y"])], "a step reads 'z', which no step before it writes"),
        ([attention(["y"] * 3, ["y"])], "a step reads 'y', which no step before it writes"),
        ([attention(["x"] * 3, ["z"])], "a step writes 'z', which is none of the tensors"),
        ([], "no step writes the output 'y'"),
    ],
)
def test_a_stage_that_cannot_run_is_refused(steps, message):
    with pytest.raises(ValueError, match=message):
        Stage("proposal", TENSORS, steps)
