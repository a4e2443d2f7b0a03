"""The contract of deformable_sampling: torch's formulation in float64, gradients included."""

import numpy as np
import pytest
from csrc.implementations import ISAS
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from geolrm import _C  # noqa: E402
from geolrm.export.model import cross_attention  # noqa: E402
from geolrm.training.deformable_sampling import sample_and_weigh  # noqa: E402

SHAPES = ((8, 4), (4, 2))  # powers of two: places on the grid are exact in both precisions
NAMES = ("value", "offsets", "logits")


def draw(seed=0, views=2, queries=7, heads=2, head_dim=8, points=3, shapes=SHAPES, spread=3.0):
    """Arguments whose samples stay off the kinks, where float32 might take the other side."""
    rng = np.random.default_rng(seed)
    reference = rng.uniform(-0.2, 1.2, (views, queries, 2))
    if views > 1:
        reference[1:] = reference[:1]  # moved by whole pixels of every level
        reference[1:] += rng.integers(-1, 2, (views - 1, queries, 2))
    levels = len(shapes)
    place = rng.integers(-2, 10, (queries, heads, levels, points, 2))
    place = place + rng.uniform(0.05, 0.95, place.shape)
    sides = np.array([(w, h) for h, w in shapes])[:, None]
    offsets = place - (reference[0, :, None, None, None] * sides - 0.5)
    size = sum(h * w for h, w in shapes)
    arrays = {
        "value": rng.normal(size=(views, size, heads, head_dim)),
        "reference": reference,
        "offsets": offsets,
        "logits": rng.normal(size=(queries, heads, levels * points)) * spread,
    }
    return {n: torch.from_numpy(a.astype("f4")) for n, a in arrays.items()}, shapes


def differentiate(sampler, case, dtype=torch.float32, seed=1):
    """The output and the gradients of a random weighting of it."""
    tensors, shapes = case
    tensors = {n: t.detach().to(dtype).requires_grad_(n in NAMES) for n, t in tensors.items()}
    out = sampler(tensors["value"], shapes, *list(tensors.values())[1:])
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    (out * weight).sum().backward()
    return [out.detach(), *(tensors[n].grad for n in NAMES)]


def assert_near(got, truth, tolerance=1e-5):
    for name, a, b in zip(("out", *NAMES), got, truth, strict=True):
        assert a.shape == b.shape and bool(a.isfinite().all()), name
        assert (a - b).abs().max() <= tolerance * b.abs().max().clamp(min=0.1), name


def check(case):
    truth = differentiate(cross_attention.sample_and_weigh, case, torch.float64)
    assert_near(differentiate(sample_and_weigh, case), truth)


def test_mini_sizes():
    check(draw(views=3, queries=64, heads=4, head_dim=48, points=4, shapes=((56, 56), (32, 32))))


sides = st.integers(1, 9)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    views=st.integers(1, 3),
    queries=st.integers(0, 9),
    heads=st.integers(1, 3),
    head_dim=st.integers(1, 140),
    points=st.integers(1, 5),
    shapes=st.lists(st.tuples(sides, sides), min_size=1, max_size=3).map(tuple),
)
def test_random_shapes(seed, views, queries, heads, head_dim, points, shapes):
    if queries:
        check(draw(seed, views, queries, heads, head_dim, points, shapes))
    else:
        case = draw(seed, views, 1, heads, head_dim, points, shapes)[0]
        none = {n: t[:, :0] if n == "reference" else t[:0] for n, t in case.items() if n != "value"}
        out = sample_and_weigh(case["value"], shapes, *none.values())
        assert out.shape == (views, 0, heads * head_dim)


def test_many_points_are_done_in_pieces():
    check(draw(points=70, head_dim=5))


def on_the_grid(step=0.5):
    """Every place of a grid over both levels, their edges and beyond: kinks included."""
    across, down = np.meshgrid(np.arange(-2, 6, step), np.arange(-2, 10, step))
    places = np.stack([across.ravel(), down.ravel()], axis=-1)  # [N, 2] pixels
    queries = len(places)
    case, shapes = draw(views=1, queries=queries, heads=1, head_dim=6, points=1)
    case["reference"] = torch.full((1, queries, 2), 0.5)
    half = np.array([(w, h) for h, w in shapes]) / 2 - 0.5
    offsets = places[:, None] - half[None]  # [N, levels, 2]
    case["offsets"] = torch.from_numpy(offsets.astype("f4"))[:, None, :, None]
    return case, shapes


def test_borders_and_kinks():
    check(on_the_grid())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_view_seen_nowhere_is_zero(bad):
    case, shapes = draw()
    case["reference"][1, 3] = bad
    case["reference"][0, 4, 1] = bad
    out, *gradients = differentiate(sample_and_weigh, (case, shapes))
    assert (out[1, 3] == 0).all() and (out[0, 4] == 0).all()
    far = {n: t.clone() for n, t in case.items()}
    far["reference"][1, 3] = 100.0
    far["reference"][0, 4, 1] = 100.0
    truth = differentiate(cross_attention.sample_and_weigh, (far, shapes), torch.float64)
    assert_near([out, *gradients], truth)


def test_a_nan_offset_is_zero_and_has_no_gradient():
    case, shapes = draw()
    case["offsets"][2, 1, 0, 1, 0] = float("nan")
    _, value, offsets, logits = differentiate(sample_and_weigh, (case, shapes))
    assert value.isfinite().all() and logits.isfinite().all()
    assert (offsets[2, 1, 0, 1] == 0).all()


def test_finite_differences():
    tensors, shapes = draw(queries=3, head_dim=3, spread=1.0)
    out, *gradients = differentiate(sample_and_weigh, (tensors, shapes))
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).double()

    def loss(**changed):
        arguments = [(tensors | changed)[n] for n in ("reference", "offsets", "logits")]
        result = sample_and_weigh((tensors | changed)["value"], shapes, *arguments)
        return (result.double() * weight).sum().item()

    for name, gradient in zip(NAMES, gradients, strict=True):
        step = 2.0**-7
        for i in np.random.default_rng(0).permutation(gradient.numel())[:20].tolist():
            moved = [tensors[name].clone() for _ in range(2)]
            moved[0].view(-1)[i] += step
            moved[1].view(-1)[i] -= step
            slope = (loss(**{name: moved[0]}) - loss(**{name: moved[1]})) / (2 * step)
            assert abs(slope - gradient.flatten()[i]) < 2e-3, (name, i)


def native(case, threads=1, isa=""):
    """Out and the three gradients through the extension."""
    tensors, shapes = case
    heads = tensors["value"].shape[2]
    value = tensors["value"].flatten(2).numpy()
    offsets, weights = (tensors[n].flatten(1).numpy() for n in ("offsets", "logits"))
    arguments = (value, np.array(shapes), tensors["reference"].numpy(), offsets, weights, heads)
    out = np.full((*tensors["reference"].shape[:2], value.shape[2]), np.nan, np.float32)
    _C.deformable_sampling(*arguments, out, threads, isa)
    upstream = np.random.default_rng(0).normal(size=out.shape).astype("f4")
    to = [np.zeros_like(a) for a in (value, offsets, weights)]
    _C.deformable_sampling_backward(*arguments, upstream, *to, threads, isa)
    return [out, *to]


@pytest.mark.parametrize("head_dim", [7, 48])
def test_result_does_not_depend_on_threads(isa, head_dim):
    case = draw(queries=1100, head_dim=head_dim, heads=3)
    one = native(case, 1, isa)
    for threads in (2, 3):
        for a, b in zip(one, native(case, threads, isa), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("head_dim", [1, 7, 16, 48, 50, 64, 100])
def test_instruction_sets_agree(head_dim):
    for case in (draw(queries=20, head_dim=head_dim), on_the_grid()):
        plain = native(case, isa="plain")
        for isa in ISAS:
            for a, b in zip(plain, native(case, isa=isa), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_gradients_are_added():
    tensors, shapes = draw()
    case = native((tensors, shapes))
    heads, value = 2, tensors["value"].flatten(2).numpy()
    offsets, weights = (tensors[n].flatten(1).numpy() for n in ("offsets", "logits"))
    to = [np.ones_like(a) for a in (value, offsets, weights)]
    upstream = np.random.default_rng(0).normal(size=case[0].shape).astype("f4")
    _C.deformable_sampling_backward(
        value,
        np.array(shapes),
        tensors["reference"].numpy(),
        offsets,
        weights,
        heads,
        upstream,
        *to,
    )
    for a, b in zip(case[1:], to, strict=True):
        np.testing.assert_allclose(a + 1, b, atol=1e-5)


def arguments(**changed):
    tensors, shapes = draw()
    given = {
        "value": tensors["value"].flatten(2).numpy(),
        "level_shapes": np.array(shapes),
        "reference": tensors["reference"].numpy(),
        "offsets": tensors["offsets"].flatten(1).numpy(),
        "weights": tensors["logits"].flatten(1).numpy(),
        "num_heads": 2,
        "out": np.empty((2, 7, 16), np.float32),
    }
    return given | changed


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"value": np.zeros((2, 40, 16))}, "value has dtype float64; it must be float32"),
        ({"value": np.zeros((2, 39, 16), "f4")}, r"value has shape \[2, 39, 16\]; it must be"),
        ({"num_heads": 3}, "num_heads is 3; it must divide the width of value, 16"),
        ({"num_heads": 0}, "num_heads is 0; it must be at least 1"),
        ({"level_shapes": np.array([[8, 4, 1]])}, r"level_shapes has shape \[1, 3\]"),
        ({"level_shapes": np.array([[8, 0], [4, 2]])}, "level 0 of level_shapes is 8 x 0"),
        ({"reference": np.zeros((3, 7, 2), "f4")}, r"reference has shape \[3, 7, 2\]"),
        ({"offsets": np.zeros((7, 22), "f4")}, r"offsets has shape \[7, 22\]"),
        ({"weights": np.zeros((7, 11), "f4")}, r"weights has shape \[7, 11\]; its second axis"),
        ({"out": np.zeros((2, 7, 15), "f4")}, r"out has shape \[2, 7, 15\]"),
        ({"isa": "sse"}, "isa is 'sse'"),
    ],
)
def test_refuses_wrong_arguments(changed, error):
    with pytest.raises((TypeError, ValueError), match=error):
        _C.deformable_sampling(**arguments(**changed))


@pytest.mark.parametrize("name", ["g_out", "g_value", "g_offsets", "g_weights"])
def test_refuses_wrong_gradients(name):
    given = arguments()
    given["g_out"] = given.pop("out")
    for source in ("value", "offsets", "weights"):
        given[f"g_{source}"] = np.zeros_like(given[source])
    given[name] = given[name][:-1]
    with pytest.raises(ValueError, match=f"{name} has shape .* to fit the other arguments"):
        _C.deformable_sampling_backward(**given)
