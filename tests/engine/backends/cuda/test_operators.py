"""Steps bound to CUDA kernels, emulated; what the kernels compute is tested in tests/csrc."""

import numpy as np
import pytest
import torch
from csrc.test_self_attention_on_cuda import check
from doubles.device import DeviceDouble
from reference import deformable_cross_attention as reference
from torch.nn.functional import grid_sample

from geolrm.engine.backends.cuda import operators
from geolrm.engine.backends.cuda.operators import OPERATORS, Context, workspaces
from geolrm.engine.backends.cuda.segments import Binding
from geolrm.engine.backends.cuda.spatial_order import grid_order, workspace_bytes
from geolrm.engine.bundle.plan import (
    DeformableCrossAttentionStep,
    GridSampleStep,
    QueryOrderStep,
    SegmentStep,
    SelfAttentionStep,
    Stage,
    Tensor,
)

LEVELS = np.array([(5, 4), (2, 3)])
VIEWS, HEADS, HEAD_DIM, POINTS, PIXELS = 2, 2, 8, 2, 26
DIM = HEADS * HEAD_DIM
RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@pytest.fixture
def device():
    return DeviceDouble()


def context(device, tensors=(), load=None, scratch=None, **weights):
    weights = {name: device.upload(array) for name, array in weights.items()}
    level_shapes = device.upload(LEVELS.astype(np.int64))
    tensors = {tensor.name: tensor for tensor in tensors}
    return Context(tensors, device, load, weights, level_shapes, scratch)


def run(device, operator, reads, writes, workspace=0):
    """What one execution writes, and the kernels that it launches."""
    binding = operator.bind([device.upload(a) for a in reads], writes, workspace, lasting=True)
    assert operator.capturable and binding.can_capture()
    device.log.clear()
    binding.enqueue()
    launched = [event[1] for event in device.log if event[0] == "launch"]
    return [array.numpy() for array in writes], launched


def test_a_segment_is_bound_by_its_tensors_names(device):
    class Loaded:
        capturable = False

        def bind(self, *given, lasting):
            self.given = given, lasting
            return Binding(lambda: None, lambda: False)

    loaded, scratch = {"s": Loaded()}, object()
    step = SegmentStep(name="s", files={}, reads=["a", "b"], writes=["c"])
    bound_with = context(device, load=lambda asked: loaded[asked.name], scratch=scratch)
    operator = OPERATORS["segment"](step, bound_with)
    operator.bind([1, 2], [3], 0, lasting=False)
    assert loaded["s"].given == (({"a": 1, "b": 2}, {"c": 3}, scratch), False)
    assert operator.capturable is False


@pytest.mark.parametrize("batch", [1, 3])
def test_one_volume_serves_every_grid(device, batch):
    volume, grid = random(batch, 2, 3, 4, 5), RNG.uniform(-1.2, 1.2, (3, 6, 1, 1, 3))
    step = GridSampleStep(
        reads=["volume", "grid"], writes=["out"], padding_mode="border", align_corners=True
    )
    out = device.empty((3, 2, 6, 1, 1), "float32")
    operator = OPERATORS["grid_sample"](step, context(device))
    (got,), launched = run(device, operator, [volume, grid.astype(np.float32)], [out])
    options = {"padding_mode": "border", "align_corners": True}
    shared = torch.from_numpy(volume).double().expand(3, -1, -1, -1, -1)
    expected = grid_sample(shared, torch.from_numpy(grid), **options)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert launched == ["grid_sample"] * (3 if batch == 1 else 1)


def attention_step(*order, weights=("w", "b")):
    return DeformableCrossAttentionStep(
        reads=["values", "points", "offsets", "logits", *order], writes=["out"],
        weights=list(weights), num_heads=HEADS, num_points=POINTS,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("queries", "shape", "ordered"),
    [(6, "anchors", True), (6, "anchors", False), (8, 8, True), (6, 6, False)],
    ids=["the order read", "no order", "the order of a grid", "no grid"],
)
def test_attention_takes_the_order_that_there_is(device, queries, shape, ordered, monkeypatch):
    called, make = [], operators.attention_calls
    monkeypatch.setattr(operators, "attention_calls", lambda *a: called.append(a[-1]) or make(*a))
    samples = HEADS * len(LEVELS) * POINTS
    values, weight, bias = random(VIEWS, PIXELS, DIM), random(DIM), random(1)
    points = RNG.uniform(0, 1, (VIEWS, queries, 2)).astype(np.float32)
    placed = [points, random(queries, samples * 2), random(queries, samples)]
    is_read = ordered and shape == "anchors"
    step = attention_step(*["order"] * is_read)
    bound_with = context(device, [Tensor("out", "float32", [shape, DIM])], w=weight, b=bias)
    operator = OPERATORS[step.operator](step, bound_with)
    reads = [values, *placed, *[RNG.permutation(queries).astype(np.int32)] * is_read]
    (got,), launched = run(device, operator, reads, [device.empty((queries, DIM), "float32")])
    by_head = values.reshape(VIEWS, PIXELS, HEADS, HEAD_DIM).transpose(0, 2, 1, 3)
    expected = reference.deformable_cross_attention(by_head, LEVELS, *placed, weight, bias)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert launched == ["deformable_cross_attention"]
    assert (called[0] is not None) == ordered


def test_attention_adds_the_bias_that_values_come_without(device):
    queries, samples = 6, HEADS * len(LEVELS) * POINTS
    values, weight, bias, of_values = (
        random(VIEWS, PIXELS, DIM),
        random(DIM),
        random(1),
        random(DIM),
    )
    points = RNG.uniform(0, 1, (VIEWS, queries, 2)).astype(np.float32)
    placed = [points, random(queries, samples * 2), random(queries, samples)]
    bound_with = context(
        device, [Tensor("out", "float32", ["anchors", DIM])], w=weight, b=bias, v=of_values
    )
    step = attention_step(weights=("w", "b", "v"))
    operator = OPERATORS[step.operator](step, bound_with)
    out = [device.empty((queries, DIM), "float32")]
    (got,), launched = run(device, operator, [values, *placed], out)
    whole = (values + of_values).reshape(VIEWS, PIXELS, HEADS, HEAD_DIM).transpose(0, 2, 1, 3)
    expected = reference.deformable_cross_attention(whole, LEVELS, *placed, weight, bias)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert launched == ["deformable_cross_attention_biased"]  # its order is that of the queries


def test_anchors_are_sorted_in_the_workspace(device):
    side = 4
    centres = (np.stack(np.unravel_index(np.arange(side**3), [side] * 3), 1) + 0.5) / side - 0.5
    step = QueryOrderStep(reads=["anchors"], writes=["order"])
    workspace = device.empty((workspace_bytes(side**3),), "uint8")
    operator = OPERATORS["query_order"](step, context(device))
    order = device.empty((side**3,), "int32")
    anchors = centres.astype(np.float32)
    (got,), _ = run(device, operator, [anchors], [order], workspace.address)
    np.testing.assert_array_equal(got, grid_order(side**3))


def test_a_stage_needs_a_workspace_for_its_sort_alone():
    tensors = [
        Tensor("anchors", "float32", ["anchors", 3], "input"),
        Tensor("order", "int32", ["anchors"]),
        Tensor("out", "float32", ["anchors"], "output"),
    ]
    steps = [
        QueryOrderStep(reads=["anchors"], writes=["order"]),
        SegmentStep(name="s", files={}, reads=["order"], writes=["out"]),
    ]
    stage = Stage("reconstruction", tensors, steps)
    assert workspaces(stage, {"views": 3, "anchors": 5000}) == [workspace_bytes(5000), 0]
    assert workspace_bytes(5000) >= 3 * 4 * 5000  # keys, and where both are sorted to


def test_self_attention_reads_what_the_plan_names(device):
    """Queries, keys and values [1, N, d]; the values may be another tensor's memory, as [N, d]."""
    tensors = [Tensor(name, "float16", [1, "anchors", 48]) for name in "qkvo"]
    step = SelfAttentionStep(reads=["q", "k", "v"], writes=["o"], num_heads=2)
    q, k, v = RNG.normal(size=(3, 1, 70, 48)).astype(np.float16)
    operator = OPERATORS["self_attention"](step, context(device, tensors))
    (found,), launched = run(device, operator, [q, k, v], [device.empty(q.shape, "float16")])
    assert launched == ["self_attention"]
    check(found[0], q[0], k[0], v[0], 2)
