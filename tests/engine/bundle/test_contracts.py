import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from geolrm.engine.bundle.contracts import (
    CONTRACTS,
    Setting,
    check_step,
    extent,
    same_shape,
    weight_sizes,
)
from geolrm.engine.bundle.plan import (
    DeformableCrossAttentionStep,
    GridSampleStep,
    QueryOrderStep,
    SegmentStep,
    SelfAttentionStep,
    Tensor,
    ValueProjectionStep,
    size_of,
)

CPU, GPU = Setting(False, 2, 80), Setting(True, 2, 80)
SHAPES = {  # 3 heads of 4 channels, 2 points
    "features": ["views", 80, 7],
    "points": ["views", "anchors", 2],
    "offsets": ["anchors", 24],
    "logits": ["anchors", 12],
    "values": ["views", 3, 80, 4],
    "flat": ["views", 80, 12],
    "out": ["anchors", 12],
    "query": [1, "anchors", 12],
    "made": [1, "anchors", 12],
    "anchors": ["anchors", 3],
    "volume": [1, 5, 6, 7, 8],
    "grid": [2, 3, 4, 5, 3],
    "sampled": [2, 5, 3, 4, 5],
}
TENSORS = {name: Tensor(name, "float32", shape) for name, shape in SHAPES.items()}
TENSORS |= {
    "touched": Tensor("touched", "uint8", ["views", 80]),
    "order": Tensor("order", "int32", ["anchors"]),
}
PROJECTION = ValueProjectionStep(
    reads=["features", "points", "offsets"], writes=["values", "touched"], weights=["w", "b"],
    num_heads=3, num_points=2,
)  # fmt: skip
CROSS = {
    CPU: DeformableCrossAttentionStep(
        reads=["values", "points", "offsets", "logits"], writes=["out"], weights=["w", "b"],
        num_heads=3, num_points=2,
    ),
    GPU: DeformableCrossAttentionStep(
        reads=["flat", "points", "offsets", "logits", "order"], writes=["out"],
        weights=["w", "b", "c"], num_heads=3, num_points=2,
    ),
}  # fmt: skip
SELF = SelfAttentionStep(reads=["query"] * 3, writes=["made"], num_heads=3)
ORDER = QueryOrderStep(reads=["anchors"], writes=["order"])
SAMPLE = GridSampleStep(
    reads=["volume", "grid"], writes=["sampled"], padding_mode="zeros", align_corners=True
)
SEGMENT = SegmentStep(name="s", files={"cpu": "s.onnx"}, reads=[], writes=["out"])
STEPS = [
    (PROJECTION, CPU), (CROSS[CPU], CPU), (CROSS[GPU], GPU), (SELF, CPU), (SELF, GPU), (ORDER, GPU),
    (SAMPLE, GPU), (SEGMENT, CPU), (SEGMENT, GPU),
]  # fmt: skip


@pytest.mark.parametrize(("step", "setting"), STEPS)
def test_a_step_that_satisfies_its_contract(step, setting):
    check_step(step, TENSORS, setting)


def test_every_operator_has_a_contract():
    assert {type(step) for step, _ in STEPS} == set(CONTRACTS)


TYPED = [
    (step, setting, name)
    for step, setting in STEPS
    if not isinstance(step, SegmentStep)
    for name in dict.fromkeys((*step.reads, *step.writes))
]


FREE = {  # axes whose size no other tensor says again
    (ValueProjectionStep, "features", 2),
    (ValueProjectionStep, "values", 3),
    *((GridSampleStep, "volume", axis) for axis in (2, 3, 4)),
}


@pytest.mark.parametrize(("step", "setting", "name"), TYPED)
@given(data=st.data())
def test_no_tensor_may_be_another(step, setting, name, data):
    """Neither a shape that is not the contract's, nor a type."""
    tensor = TENSORS[name]
    shape = list(tensor.shape)
    axis = data.draw(st.integers(0, len(shape) - 1))
    kind = data.draw(st.sampled_from(["size", "axes", "type"]))
    if kind == "size":
        assume((type(step), name, axis) not in FREE)
        shape[axis] = data.draw(st.integers(9, 2**31).filter(lambda size: size not in shape))
    elif kind == "axes":
        shape.insert(axis, 1)
    dtype = "int64" if kind == "type" else tensor.dtype
    with pytest.raises(ValueError):
        check_step(step, TENSORS | {name: Tensor(name, dtype, shape)}, setting)


@pytest.mark.parametrize(
    ("step", "setting", "said"),
    [
        (SAMPLE, CPU, "the CPU has no operator of that name"),
        (PROJECTION, GPU, "a GPU has no operator of that name"),
        (SelfAttentionStep(reads=["query"], writes=["made"], num_heads=3), CPU,
         "it reads 1 tensors, not 3"),
        (SelfAttentionStep(reads=["query"] * 3, writes=["made"], num_heads=5), CPU,
         "the width is 12, which is no multiple of 5"),
        (SelfAttentionStep(reads=["query"] * 3, writes=["out"], num_heads=3), CPU,
         "'out' has 2 axes, not 3"),
        (ValueProjectionStep(reads=PROJECTION.reads, writes=PROJECTION.writes, num_heads=3,
                             num_points=2), CPU, "it has 0 weights, not 1 or 2"),
        (ValueProjectionStep(reads=PROJECTION.reads, writes=PROJECTION.writes, weights=["w"],
                             num_heads=3, num_points=3), CPU,
         "'offsets' has shape ['anchors', 24], not ['anchors', 36]"),
        (CROSS[GPU], Setting(True, 2, 81),
         "'flat' has shape ['views', 80, 12], not ['views', 81, 12]"),
        (SegmentStep(name="s", files={}, reads=["out"], writes=[]), CPU, "it writes nothing"),
    ],
)  # fmt: skip
def test_what_is_said(step, setting, said):
    with pytest.raises(ValueError) as caught:
        check_step(step, TENSORS, setting)
    assert str(caught.value) == said


dims = st.one_of(
    st.integers(1, 50),
    st.sampled_from(["views", "anchors", "3*views", "2*5*anchors", "1*anchors"]),
)


@given(st.lists(dims, max_size=4), st.integers(1, 9), st.integers(1, 9))
def test_an_extent_is_the_size_for_any_numbers(shape, views, anchors):
    known = {"views": views, "anchors": anchors}
    number, symbols = extent(shape)
    size = 1
    for dim in shape:
        size *= size_of(dim, known)
    for symbol in symbols:
        number *= known[symbol]
    assert number == size


def test_shapes_are_compared_axis_by_axis():
    assert same_shape([1, "anchors"], [1, "1*anchors"]) and same_shape(["2*5*views"], ["10*views"])
    assert not same_shape([2, 3], [3, 2]) and not same_shape([6], [2, 3])
    assert not same_shape(["views"], ["anchors"]) and not same_shape(["views"], [1])


def test_the_sizes_of_weights():
    assert weight_sizes(PROJECTION, TENSORS) == [12 * 7, 12]
    assert weight_sizes(CROSS[CPU], TENSORS) == [12, 1]
    assert weight_sizes(CROSS[GPU], TENSORS) == [12, 1, 12]
    assert weight_sizes(SELF, TENSORS) == weight_sizes(SEGMENT, TENSORS) == []
