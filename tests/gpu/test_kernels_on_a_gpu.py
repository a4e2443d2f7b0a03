"""Sampling kernels on a real GPU, against the CPU's."""

import numpy as np
import pytest
import torch
from csrc.test_deformable_attention import make_case

from geolrm import _C
from geolrm.engine.cuda.kernels import DeformableCrossAttention, GridSample

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    ("value", "query", "out"),
    [
        ("float16", "float32", "float16"),
        ("float32", "float32", "float32"),
        ("bfloat16", "float32", "bfloat16"),
    ],
)
def test_deformable_cross_attention(device, value, query, out):
    """The released widths, and every storage that a bundle uses, in both orders of the queries."""
    tokens, heads = 41, 16
    arguments = make_case(1, 3, heads, 48, 2, 8, tokens)
    values, shapes, references, offsets, logits, weight, bias = arguments
    stored = values.transpose(0, 2, 1, 3).reshape(3, -1, heads * 48)
    kernel = DeformableCrossAttention(
        heads, 48, 2, 8, value=value, query=query, weight="float32", out=out
    )
    arrays = [
        device.upload(array)
        for array in (store(stored, value), shapes.astype(np.int64), references, offsets, logits,
                      weight, np.array([bias], np.float32))
    ]  # fmt: skip
    order = np.random.default_rng(0).permutation(tokens).astype(np.int32)
    made = []
    for ordered in (None, device.upload(order)):
        result = device.empty((tokens, heads * 48), out)
        addresses = (array.address for array in [*arrays, result])
        sizes = {"views": 3, "queries": tokens, "pixels": stored.shape[1]}
        device.launch(kernel.calls(*addresses, **sizes, order=ordered))
        made.append(result.numpy().astype(np.float32))
    np.testing.assert_array_equal(made[0], made[1])
    expected = np.empty(made[0].shape, np.float32)
    _C.deformable_cross_attention(*arguments, expected)
    rounding = {"float32": 2e-4, "float16": 4e-3, "bfloat16": 4e-2}[value]
    np.testing.assert_allclose(made[0], expected, rtol=rounding, atol=rounding)


def store(array, dtype):
    """As a storage type; bfloat16's bits travel as float16's."""
    if dtype != "bfloat16":
        return np.ascontiguousarray(array.astype(dtype))
    bits = (np.ascontiguousarray(array).view(np.uint32) + 0x8000) >> 16
    return bits.astype(np.uint16).view(np.float16)


@pytest.mark.parametrize("sides", [(13, 9), (5, 6, 7)])
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_grid_sample(device, sides, padding):
    rng = np.random.default_rng(2)
    data = rng.standard_normal((2, 4, *sides)).astype(np.float32)
    grid = rng.uniform(-1.4, 1.4, (2, *(1,) * (len(sides) - 1), 300, len(sides)))
    placed = [device.upload(data), device.upload(grid.astype(np.float32))]
    result = device.empty((2, 4, 300), "float32")
    addresses = (array.address for array in [*placed, result])
    calls = GridSample(padding=padding).calls(*addresses, shape=data.shape, points=300)
    device.launch(calls)
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(data), torch.from_numpy(grid.astype(np.float32)),
        padding_mode=padding, align_corners=False,
    )  # fmt: skip
    np.testing.assert_allclose(result.numpy(), expected.reshape(2, 4, 300), atol=1e-4)
