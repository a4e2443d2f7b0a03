"""What blending taps in half precision costs, on the features of a photographed object."""

import numpy as np
import pytest
from csrc.attention_cases import Case, Storage, run
from csrc.implementations import implement

from geolrm import _C, Engine

QUERIES = 48


@pytest.fixture(scope="module")
def layers(shoe_views):
    """Arguments of each cross-attention of the bundled model, on photographs; some queries."""
    seen, attend = [], _C.deformable_cross_attention

    def remember(*arguments, **options):
        values, shapes, references, offsets, logits, weight, bias, _ = arguments
        chosen = np.linspace(0, len(logits) - 1, QUERIES).astype(int)
        values = np.nan_to_num(values)  # rows that no sample reads are undefined
        seen.append([values, shapes, references[:, chosen], offsets[chosen], logits[chosen],
                     weight, bias])  # fmt: skip
        attend(*arguments, **options)

    images, cameras = shoe_views
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_C, "deformable_cross_attention", remember)
        Engine("mini", threads=2).run(images, cameras)
    return seen


def relative_errors(layer, dtype):
    """RMS against float32's result of the same stored values: blended, and merely rounded."""
    case = Case(layer, Storage(dtype, out="float32"))
    exact = run(case.arguments)
    results = case.run(implement("emulated")), rounded(exact, dtype)
    scale = np.sqrt(np.mean(exact**2))
    return [np.sqrt(np.mean((got - exact) ** 2)) / scale for got in results]


def rounded(values, dtype):
    """Values to the nearest of a storage type."""
    if dtype == "float16":
        return values.astype(np.float16).astype(np.float32)
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


@pytest.mark.parametrize(("dtype", "most"), [("float16", 3.5e-4), ("bfloat16", 2.7e-3)])
def test_blending_in_halves_costs_about_as_much_as_storing_the_result(layers, dtype, most):
    errors = [relative_errors(layer, dtype) for layer in layers]
    assert len(errors) >= 4
    for blended, stored in errors:
        assert blended < most
        assert 0.5 * stored < blended < 1.5 * stored  # not less: it is blended so
