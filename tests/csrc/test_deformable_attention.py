import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import deformable_attention as reference

from geolrm import _C

ISAS = ["plain", "avx2", "avx512"][: ["plain", "avx2", "avx512"].index(_C.best_isa()) + 1]
SETTINGS = settings(max_examples=60, deadline=None)


def make_case(seed, views, heads, width, levels, points, tokens, half=False):
    """Arguments of deformable_cross_attention, some samples outside their image."""
    rng = np.random.default_rng(seed)
    shapes = rng.integers(1, 9, (levels, 2))
    pixels = int(shapes.prod(1).sum())
    values = rng.standard_normal((views, heads, pixels, width), dtype=np.float32)
    if half:
        values = values.astype(np.float16)
    references = rng.uniform(-0.3, 1.3, (views, tokens, 2)).astype(np.float32)
    offsets = rng.normal(0, 2, (tokens, heads * levels * points * 2)).astype(np.float32)
    logits = rng.standard_normal((tokens, heads * levels * points), dtype=np.float32)
    weight = rng.standard_normal(heads * width, dtype=np.float32) * 0.5
    return [values, shapes, references, offsets, logits, weight, 0.3]


def run(case, threads=2, isa=""):
    out = np.full((case[2].shape[1], case[0].shape[1] * case[0].shape[3]), np.nan, np.float32)
    _C.deformable_cross_attention(*case, out, threads, isa)
    return out


cases = st.builds(
    make_case,
    seed=st.integers(0, 2**32),
    views=st.integers(1, 4),
    heads=st.integers(1, 3),
    width=st.sampled_from([1, 3, 6, 8, 9, 12, 16, 18, 24, 32, 48, 50, 64, 100, 130]),
    levels=st.integers(1, 3),
    points=st.sampled_from([1, 2, 3, 4, 5, 8, 24]),
    tokens=st.sampled_from([1, 2, 3, 7]),
    half=st.booleans(),
)


@SETTINGS
@given(cases)
def test_every_path_agrees_with_the_float64_loops(case):
    truth = reference.deformable_cross_attention(*case)
    for isa in ISAS:
        np.testing.assert_allclose(run(case, isa=isa), truth, rtol=2e-4, atol=2e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), width=st.sampled_from([6, 24, 48]))
def test_agrees_with_grid_sample(seed, width):
    torch = pytest.importorskip("torch")
    case = make_case(seed, 3, 4, width, 2, 8, 100)
    tensors = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in case]
    tensors[1] = tensors[1].tolist()
    expected = reference.with_grid_sample(*tensors).numpy()
    np.testing.assert_allclose(run(case), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("tokens", [1, 2, 333, 5000])
def test_result_does_not_depend_on_threads(isa, tokens):
    case = make_case(3, 3, 2, 24, 2, 4, tokens)
    one = run(case, 1, isa)
    np.testing.assert_array_equal(one, run(case, 2, isa))
    np.testing.assert_array_equal(one, run(case, 3, isa))


@pytest.mark.parametrize("isa", ISAS)
def test_result_follows_the_order_of_tokens(isa):
    case = make_case(4, 3, 2, 9, 2, 4, 700)
    order = np.random.default_rng(0).permutation(700)
    moved = list(case)
    moved[2] = np.ascontiguousarray(case[2][:, order])
    moved[3], moved[4] = case[3][order], case[4][order]
    np.testing.assert_array_equal(run(case, isa=isa)[order], run(moved, isa=isa))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e30, -1e30, 50.0])
def test_a_view_seen_nowhere_stays_in_the_softmax(isa, bad):
    case = make_case(5, 3, 2, 12, 2, 4, 9)
    case[2][1] = bad
    case[2][:, 4] = bad  # and one token outside every view
    truth = reference.deformable_cross_attention(*case)
    got = run(case, isa=isa)
    np.testing.assert_allclose(got, truth, rtol=2e-4, atol=2e-4)
    assert (got[4] == 0).all()


@pytest.mark.parametrize("isa", ISAS)
def test_large_logits_stay_finite(isa):
    case = make_case(6, 3, 2, 12, 2, 4, 9)
    case[4] *= 1000
    case[5] *= 1000
    truth = reference.deformable_cross_attention(*case)
    np.testing.assert_allclose(run(case, isa=isa), truth, rtol=1e-3, atol=1e-3)


@SETTINGS
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


def test_no_tokens():
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
