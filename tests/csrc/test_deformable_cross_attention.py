"""The contract of deformable_cross_attention: the same on every CPU path, and on CUDA."""

import numpy as np
import pytest
from csrc.attention_cases import FLOATS, Case, Storage, assert_near, make_case, on_a_grid, run
from csrc.implementations import DEVICES, ISAS, implement, shuffle
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import deformable_cross_attention as reference

from geolrm import _C
from geolrm.engine.backends.cuda.kernels import DeformableCrossAttention
from geolrm.engine.backends.cuda.operators import attention_calls
from geolrm.engine.bundle.plan import DeformableCrossAttentionStep
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.errors import InputError

SETTINGS = settings(max_examples=25, deadline=None)

HALF_VALUES = Storage("float16")
AS_ENGINES_STORE = Storage("float16", out="float16")
HALF_WEIGHTS = Storage("float16", "float16", "float32", "float16", "float32", "int32")
BRAIN_FLOATS = Storage("bfloat16", "bfloat16", "float16", "bfloat16")
ON_THE_CPU = [FLOATS, HALF_VALUES]
ON_A_DEVICE = [AS_ENGINES_STORE, HALF_WEIGHTS, FLOATS, BRAIN_FLOATS]  # few: each is compiled


def storages(implementation):
    return ON_A_DEVICE if implementation.device else ON_THE_CPU


POINTS, QUERIES = [1, 2, 3, 4, 5, 8, 24], [1, 2, 3, 7]
# On the CPU vectors of channels and their rests; on a device the loads that divide them.
CPU_HEADS = [1, 3, 6, 8, 9, 12, 16, 18, 24, 32, 48, 50, 64, 100, 130]
DEVICE_HEADS = [3, 6, 8, 24, 48, 130]


@SETTINGS
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_agrees_with_the_float64_loops(implementation, data, seed):
    on_device = implementation.device is not None
    storage = data.draw(st.sampled_from(storages(implementation)))
    arguments = make_case(
        seed,
        views=data.draw(st.integers(1, 4)),
        heads=data.draw(st.integers(1, 5 if on_device else 3)),
        head_dim=data.draw(st.sampled_from(DEVICE_HEADS if on_device else CPU_HEADS)),
        levels=data.draw(st.integers(1, 3)),
        points=data.draw(st.sampled_from(POINTS)),
        queries=data.draw(st.sampled_from(QUERIES)),
    )
    blends_in_halves = on_device and storage.value != "float32"
    case = Case(on_a_grid(arguments) if blends_in_halves else arguments, storage)
    shuffle(implementation.device, seed % 1000)
    out = case.run(implementation)
    assert_near(out, case.truth(), case)
    if on_device:
        assert_near(out, run(case.arguments), case)  # the CPU's kernel


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), head_dim=st.sampled_from([6, 24, 48]))
def test_agrees_with_grid_sample(seed, head_dim):
    torch = pytest.importorskip("torch")
    case = make_case(seed, 3, 4, head_dim, 2, 8, 100)
    tensors = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in case]
    tensors[1] = tensors[1].tolist()
    expected = reference.with_grid_sample(*tensors).numpy()
    np.testing.assert_allclose(run(case), expected, rtol=1e-3, atol=1e-3)


def test_threads_schedule_and_order_never_change_a_bit(implementation):
    if implementation.device is None:
        for queries in (1, 2, 333, 5000):
            case = Case(make_case(3, 3, 2, 24, 2, 4, queries))
            one = case.run(implementation, threads=1)
            for threads in (2, 3):
                np.testing.assert_array_equal(one, case.run(implementation, threads))
        return
    case = Case(make_case(1, 3, 2, 24, 2, 4, 41), HALF_WEIGHTS)
    plain = case.run(implementation)
    order = np.random.default_rng(0).permutation(41).astype(np.int32)
    for seed, along in ((1, None), (2, order)):
        shuffle(implementation.device, seed)
        np.testing.assert_array_equal(case.run(implementation, order=along), plain)


def test_result_follows_the_order_of_queries(isa):
    case = make_case(4, 3, 2, 9, 2, 4, 700)
    order = np.random.default_rng(0).permutation(700)
    moved = list(case)
    moved[2] = np.ascontiguousarray(case[2][:, order])
    moved[3], moved[4] = case[3][order], case[4][order]
    np.testing.assert_array_equal(run(case, isa=isa)[order], run(moved, isa=isa))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e30, -1e30, 50.0])
def test_a_view_seen_nowhere_stays_in_the_softmax(implementation, bad):
    arguments = make_case(5, 3, 2, 12, 2, 4, 9)
    arguments[2][1] = bad
    arguments[2][:, 4] = bad  # and one query outside every view
    case = Case(arguments)
    got = case.run(implementation)
    assert_near(got, case.truth(), case)
    assert (got[4] == 0).all()


def test_large_logits_stay_finite(implementation):
    arguments = make_case(6, 3, 2, 12, 2, 4, 9)
    arguments[4] *= 1000
    arguments[5] *= 1000
    case = Case(arguments)
    assert_near(case.run(implementation), case.truth(), case, tolerance=1e-3)


def test_values_beside_a_sample_never_leak_into_it(implementation):
    """A level one pixel wide has no right tap: its neighbour in memory is another row or level."""
    shapes = np.array([[3, 1], [1, 4], [1, 1]])
    arguments = make_case(6, 2, 2, 8, 3, 4, 9)
    pixels = int(shapes.prod(1).sum())
    rng = np.random.default_rng(1)
    arguments[0] = rng.standard_normal((2, 2, pixels, 8)).astype(np.float32)
    arguments[1] = shapes
    case = Case(arguments)
    assert_near(case.run(implementation), case.truth(), case)


@pytest.fixture(scope="module", params=DEVICES)
def on_cuda(request):
    return implement(request.param)


@pytest.mark.parametrize(
    "storage",
    [Storage("float16", out="float16"), FLOATS, Storage("bfloat16", out="bfloat16")],
    ids=lambda storage: storage.value,
)
@pytest.mark.gpu
def test_what_bundles_store_on_a_gpu_in_both_orders(storage):
    """The released widths; bfloat16 results are read back by a real device alone."""
    gpu = implement("gpu")
    case = Case(on_a_grid(make_case(1, 3, 16, 48, 2, 8, 41)), storage)
    order = np.random.default_rng(0).permutation(41).astype(np.int32)
    plain, ordered = case.run(gpu), case.run(gpu, order=order)
    np.testing.assert_array_equal(plain, ordered)
    assert_near(plain, run(case.arguments), case)


@pytest.mark.parametrize("head_dim", DEVICE_HEADS)
def test_a_bias_is_what_the_values_would_be_with_it(on_cuda, head_dim):
    """Outside an image there is none: some samples lie beyond its edges, wholly or in part."""
    arguments = make_case(5, 3, 2, head_dim, 2, 4, 11)
    bias = np.random.default_rng(1).standard_normal(2 * head_dim).astype(np.float32)
    without = Case(arguments)
    values, *rest = arguments
    with_bias = Case([values + bias.reshape(2, 1, head_dim), *rest])
    got = without.run(on_cuda, value_bias=bias)
    assert_near(got, with_bias.truth(), with_bias, tolerance=2e-5)
    assert np.abs(got - without.truth()).max() > 0.1  # it matters
    order = np.random.default_rng(2).permutation(11).astype(np.int32)
    np.testing.assert_array_equal(without.run(on_cuda, order=order, value_bias=bias), got)
    zeros = np.zeros_like(bias)
    np.testing.assert_array_equal(without.run(on_cuda, value_bias=zeros), without.run(on_cuda))


@pytest.mark.parametrize(
    "stored", [AS_ENGINES_STORE, HALF_WEIGHTS], ids=["as engines store", "half weights"]
)
def test_the_released_geometry_reads_16_bytes_and_fills_three_warps(on_cuda, stored):
    case = Case(on_a_grid(make_case(0, 2, 16, 48, 2, 8, 3)), stored)
    kernel, launch = case.kernel, case.kernel.launch(16384)
    assert (kernel.vector, kernel.lanes, kernel.chunks, kernel.block_queries) == (8, 96, 1, 8)
    assert (launch.grid, launch.block) == ((2048, 1, 1), (96, 8, 1))
    assert_near(case.run(on_cuda), case.truth(), case)


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
    assert call.launch.block == (96, 8, 1)


def test_many_samples_are_placed_in_pieces_and_wide_queries_in_chunks(on_cuda):
    kernel = DeformableCrossAttention(40, 3, 2, 48, **vars(FLOATS))
    assert kernel.piece == 24 and kernel.launch(5).shared_bytes <= 48 * 1024
    case = Case(make_case(2, 2, 40, 3, 2, 48, 5))
    assert_near(case.run(on_cuda), case.truth(), case)
    wide = Case(make_case(3, 2, 8, 131, 1, 2, 2))
    assert (wide.kernel.vector, wide.kernel.lanes, wide.kernel.chunks) == (1, 256, 5)
    assert_near(wide.run(on_cuda), wide.truth(), wide)


cases = st.builds(
    make_case,
    seed=st.integers(0, 2**32),
    views=st.integers(1, 4),
    heads=st.integers(1, 3),
    head_dim=st.sampled_from(CPU_HEADS),
    levels=st.integers(1, 3),
    points=st.sampled_from(POINTS),
    queries=st.sampled_from(QUERIES),
    half=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(cases)
def test_touched_pixels_are_those_that_are_read(case):
    values, shapes, references, offsets, *_ = case
    heads = values.shape[1]
    points = offsets.shape[1] // (2 * heads * len(shapes))
    needed, near = reference.touched_pixels(shapes, references, offsets, heads)
    expected = None
    for isa in ISAS:
        touched = np.full(needed.shape, 7, np.uint8)
        _C.mark_touched(shapes, references, offsets, heads, points, touched, 2, isa)
        assert set(np.unique(touched)) <= {0, 1}
        assert (touched >= needed).all()
        assert (touched <= near).all()
        assert expected is None or (touched == expected).all()
        expected = touched
        # Whatever lies in an unmarked row is never read.
        poisoned = list(case)
        poisoned[0] = values.copy()
        poisoned[0].transpose(0, 2, 1, 3)[touched == 0] = np.nan
        np.testing.assert_array_equal(run(case, isa=isa), run(poisoned, isa=isa))


def test_marking_does_not_depend_on_threads():
    _, shapes, references, offsets, *_ = make_case(8, 5, 2, 4, 3, 4, 3000)
    one, two = (np.empty((5, int(shapes.prod(1).sum())), np.uint8) for _ in range(2))
    _C.mark_touched(shapes, references, offsets, 2, 4, one, 1)
    _C.mark_touched(shapes, references, offsets, 2, 4, two, 2)
    np.testing.assert_array_equal(one, two)


def test_no_queries():
    case = make_case(9, 2, 2, 4, 1, 2, 0)
    assert run(case).shape == (0, 8)
    touched = np.ones((2, case[0].shape[2]), np.uint8)
    _C.mark_touched(case[1], case[2], case[3], 2, 2, touched)
    assert not touched.any()


@pytest.mark.parametrize(
    ("index", "change", "error", "text"),
    [
        (0, lambda a: a.astype(np.float64), TypeError, r"values has dtype float64; it must be"),
        (0, lambda a: a.tolist(), TypeError, "values is a list; it must be a NumPy array"),
        (0, lambda a: a[..., :1, :], ValueError, r"values is not C-contiguous.*ascontiguousarray"),
        (0, lambda a: a[:, :, :1].copy(), ValueError, r"values has shape .* sum of H\*W"),
        (0, lambda a: a[:0].copy(), ValueError, "number of views.* is 0; it must be at least 1"),
        (1, lambda a: a * 0, ValueError, "level 0 of level_shapes is 0 x 0; it must be at least"),
        (1, lambda a: a * 2**20, ValueError, r"level_shapes exceed 2\^24 pixels"),
        (1, lambda a: a.astype(np.int32), TypeError, "level_shapes has dtype int32"),
        (2, lambda a: a[:1].copy(), ValueError, r"reference_points has shape .* \[V, N, 2\]"),
        (3, lambda a: a[:, :-2].copy(), ValueError, r"sampling_offsets has shape .*levels\*P\*2"),
        (4, lambda a: a[:, :-1].copy(), ValueError, "attention_logits.* a multiple of 4"),
        (4, lambda a: a[:-1].copy(), ValueError, "attention_logits has shape"),
        (5, lambda a: a[:-1].copy(), ValueError, r"view_weight has shape .* \[h\*e\] = \[24\]"),
    ],
)
def test_refusals_name_value_rule_and_remedy(index, change, error, text):
    case = make_case(10, 2, 2, 12, 2, 4, 5)
    out = np.zeros((5, 24), np.float32)
    case[index] = change(case[index])
    with pytest.raises(error, match=text):
        _C.deformable_cross_attention(*case, out)


def test_refuses_a_wrong_target_and_isa():
    case = make_case(10, 2, 2, 12, 2, 4, 5)
    out = np.zeros((5, 24), np.float32)
    with pytest.raises(ValueError, match="isa is 'sse'"):
        _C.deformable_cross_attention(*case, out, isa="sse")
    with pytest.raises(ValueError, match=r"out has shape \[4, 24\]"):
        _C.deformable_cross_attention(*case, out[:4])
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        _C.deformable_cross_attention(*case, out)


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
    with pytest.raises(InputError, match=r"2000 heads do not fit the shared memory of a block"):
        DeformableCrossAttention(2000, 1, 1, 1)
    kernel = DeformableCrossAttention(16, 48, 2, 8)
    with pytest.raises(InputError, match=r"a view of 2800000 pixels and 768 channels is too large"):
        kernel.calls(*[0] * 8, views=1, queries=1, pixels=2_800_000)
    with pytest.raises(InputError, match="a view of 2 pixels is too small; the kernel reads pixels "
                       "in pairs, and needs 3 or more"):  # fmt: skip
        kernel.calls(*[0] * 8, views=1, queries=1, pixels=2)
