import numpy as np
import pytest
from csrc.cuda.emulation import address
from csrc.test_deformable_attention import make_case
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import deformable_attention as reference

from csrc.cuda import emulation
from geolrm import _C
from geolrm.engine.backends.cuda.kernels import DeformableCrossAttention
from geolrm.engine.backends.cuda.operators import attention_calls
from geolrm.engine.bundle.plan import DeformableCrossAttentionStep
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.errors import InputError

SETTINGS = settings(max_examples=40, deadline=None)
# Storage of value, query, reference, weight and out, and of level_shapes; few, as each is compiled.
STORED = [
    ("float16", "float32", "float32", "float32", "float16", "int64"),  # of the engines
    ("float16", "float16", "float32", "float16", "float32", "int32"),
    ("float32", "float32", "float32", "float32", "float32", "int64"),
    ("bfloat16", "bfloat16", "float16", "bfloat16", "float32", "int64"),
]
ROUNDING = {"float32": 0.0, "float16": 2.0**-11}


def store(values, dtype):
    """Values as bits of a storage type, and what they are once read back."""
    values = np.ascontiguousarray(values, np.float32)
    if dtype != "bfloat16":
        stored = values.astype(dtype)
        return stored, stored.astype(np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)  # truncated, which is a valid input
    return bits, (bits.astype(np.uint32) << 16).view(np.float32)


class Case:
    """Arguments in a storage, on the device's side and as float32 for the reference."""

    def __init__(self, arguments, stored):
        values, shapes, references, offsets, logits, weight, bias = arguments
        value, query, reference_type, weight_type, out, shape_type = stored
        self.views, heads, self.pixels, width = values.shape
        self.tokens = offsets.shape[0]
        flat = values.transpose(0, 2, 1, 3).reshape(self.views, self.pixels, heads * width)
        self.kernel = DeformableCrossAttention(
            heads, width, len(shapes), logits.shape[1] // heads // len(shapes), value=value,
            query=query, reference=reference_type, weight=weight_type, out=out, shapes=shape_type,
        )  # fmt: skip
        types = [value, None, reference_type, query, query, weight_type, weight_type]
        given = [flat, shapes, references, offsets, logits, weight, np.array([bias])]
        pairs = [
            (shapes.astype(shape_type), shapes) if dtype is None else store(array, dtype)
            for array, dtype in zip(given, types, strict=True)
        ]
        self.inputs = [pair[0] for pair in pairs]
        read = [pair[1] for pair in pairs]
        by_head = read[0].reshape(self.views, self.pixels, heads, width).transpose(0, 2, 1, 3)
        self.native = [np.ascontiguousarray(by_head), *read[1:6], float(read[6][0])]
        self.out_type = out

    def run(self, seed=0, order=None):
        width = self.native[5].size
        out = np.full((self.tokens, width), np.nan, self.out_type)
        calls = self.kernel.calls(
            *map(address, self.inputs), address(out), views=self.views, tokens=self.tokens,
            pixels=self.pixels, order=None if order is None else address(order),
        )  # fmt: skip
        emulation.run(calls, seed)
        return out.astype(np.float32)


cases = st.builds(
    lambda stored, **sizes: Case(make_case(**sizes), stored),
    stored=st.sampled_from(STORED),
    seed=st.integers(0, 2**32),
    views=st.integers(1, 4),
    heads=st.integers(1, 5),
    width=st.sampled_from([3, 6, 8, 24, 48, 130]),
    levels=st.integers(1, 3),
    points=st.sampled_from([1, 2, 3, 4, 5, 8, 24]),
    tokens=st.sampled_from([1, 2, 3, 7]),
)


@SETTINGS
@given(cases, st.integers(0, 1000))
def test_agrees_with_the_float64_loops_and_the_cpu_kernel(case, seed):
    truth = reference.deformable_cross_attention(*case.native)
    native = np.empty(truth.shape, np.float32)
    _C.deformable_cross_attention(*case.native, native)
    out = case.run(seed)
    rounding = ROUNDING[case.out_type]
    np.testing.assert_allclose(out, truth, rtol=2e-4 + rounding, atol=2e-4)
    np.testing.assert_allclose(out, native, rtol=2e-4 + rounding, atol=2e-4)


@pytest.mark.parametrize("stored", STORED[:2], ids=["half weights", "as bundles store them"])
def test_the_released_geometry_reads_16_bytes_and_fills_three_warps(stored):
    case = Case(make_case(0, 2, 16, 48, 2, 8, 3), stored)
    kernel, launch = case.kernel, case.kernel.launch(16384)
    assert (kernel.vector, kernel.lanes, kernel.chunks, kernel.queries) == (8, 96, 1, 2)
    assert (launch.grid, launch.block) == ((8192, 1, 1), (96, 2, 1))
    truth = reference.deformable_cross_attention(*case.native)
    np.testing.assert_allclose(case.run(), truth, rtol=1e-3, atol=1e-3)


def test_an_engine_reads_values_16_bytes_at_a_time():
    def array(name, *shape):
        return name, DeviceArray(256, shape, "float16" if name in ("v", "o") else "float32", None)

    tensors = dict([array("v", 3, 50, 768), array("r", 3, 9, 2), array("s", 9, 512),
                    array("l", 9, 256), array("o", 9, 768)])  # fmt: skip
    step = DeformableCrossAttentionStep(
        reads=["v", "r", "s", "l"], writes=["o"], num_heads=16, num_points=8
    )
    inputs = [tensors[name] for name in step.reads]
    weights = [array("weight", 768)[1], array("bias", 1)[1]]
    (call,) = attention_calls(step, inputs, tensors["o"], weights, array("shapes", 2, 2)[1])
    assert call.source.defines["GEOLRM_VECTOR"] == 8
    assert call.source.defines["GEOLRM_WEIGHT"] == "float"
    assert call.launch.block == (96, 2, 1)


def test_order_and_schedule_never_change_a_bit():
    case = Case(make_case(1, 3, 2, 24, 2, 4, 41), STORED[1])
    plain = case.run(0)
    order = np.random.default_rng(0).permutation(41).astype(np.int32)
    np.testing.assert_array_equal(case.run(1), plain)
    np.testing.assert_array_equal(case.run(2, order), plain)


def test_many_samples_are_placed_in_pieces_and_wide_queries_in_chunks():
    kernel = DeformableCrossAttention(40, 3, 2, 48, **dict.fromkeys(FLOATS, "float32"))
    assert kernel.piece == 16 and kernel.launch(5).shared_bytes <= 48 * 1024
    case = Case(make_case(2, 2, 40, 3, 2, 48, 5), STORED[2])
    truth = reference.deformable_cross_attention(*case.native)
    np.testing.assert_allclose(case.run(), truth, rtol=2e-4, atol=2e-4)
    wide = Case(make_case(3, 2, 8, 131, 1, 2, 2), STORED[2])
    assert (wide.kernel.vector, wide.kernel.lanes, wide.kernel.chunks) == (1, 256, 5)
    truth = reference.deformable_cross_attention(*wide.native)
    np.testing.assert_allclose(wide.run(), truth, rtol=2e-4, atol=2e-4)


FLOATS = ("value", "query", "weight", "out")


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_reference_point_counts_as_outside(broken):
    case = Case(make_case(5, 3, 2, 8, 2, 2, 4), STORED[2])
    for array in (case.inputs[2], case.native[2]):
        array[1, 2] = broken
    native = np.empty((4, 16), np.float32)
    _C.deformable_cross_attention(*case.native, native)
    np.testing.assert_allclose(case.run(), native, rtol=2e-4, atol=2e-4)


def test_values_beside_a_sample_never_leak_into_it():
    """A level one pixel wide has no right tap: its neighbour in memory is another row or level."""
    shapes = np.array([[3, 1], [1, 4], [1, 1]])
    arguments = make_case(6, 2, 2, 8, 3, 4, 9)
    pixels = int(shapes.prod(1).sum())
    rng = np.random.default_rng(1)
    arguments[0] = rng.standard_normal((2, 2, pixels, 8)).astype(np.float32)
    arguments[1] = shapes
    case = Case(arguments, STORED[2])
    truth = reference.deformable_cross_attention(*case.native)
    np.testing.assert_allclose(case.run(), truth, rtol=2e-4, atol=2e-4)


def test_refuses_what_the_kernel_cannot_hold():
    with pytest.raises(InputError, match=r"value is stored as 'int8'; it must be one of float32,"):
        DeformableCrossAttention(2, 8, 1, 1, value="int8")
    with pytest.raises(InputError, match=r"heads is 0; it must be 1 or more"):
        DeformableCrossAttention(0, 8, 1, 1)
    with pytest.raises(InputError, match=r"shapes is 'int8'; it must be one of int64, int32"):
        DeformableCrossAttention(2, 8, 1, 1, shapes="int8")
    with pytest.raises(InputError, match=r"3 heads of 1001 channels are too many for a block; at "
                       r"most 2048 channels fit when loads take 1"):  # fmt: skip
        DeformableCrossAttention(3, 1001, 1, 1)
    with pytest.raises(InputError, match=r"1000 heads do not fit the shared memory of a block"):
        DeformableCrossAttention(1000, 8, 1, 1)
    kernel = DeformableCrossAttention(16, 48, 2, 8)
    with pytest.raises(InputError, match=r"a view of 2800000 pixels and 768 channels is too large"):
        kernel.calls(*[0] * 8, views=1, tokens=1, pixels=2_800_000)
