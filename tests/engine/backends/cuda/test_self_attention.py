"""The launch of self-attention; what its kernel computes is tested in tests/csrc."""

import numpy as np
import pytest

from geolrm.engine.backends.cuda.self_attention import HEAD_DIMS, SelfAttention
from geolrm.engine.cuda.compiler import compile_source
from geolrm.engine.cuda.launch import SHARED_LIMIT
from geolrm.engine.errors import InputError


@pytest.mark.parametrize(("queries", "blocks"), [(0, 0), (1, 1), (128, 1), (129, 2)])
def test_a_block_takes_128_queries_of_a_head(queries, blocks):
    (call,) = SelfAttention(16, 48).calls(1, 2, 3, 4, queries=queries)
    assert (call.launch.grid, call.launch.block) == ((blocks, 16, 1), (128, 1, 1))
    tensors, numbers = (*call.arguments[:3], call.arguments[6]), call.arguments[3:6]
    assert tensors == (1, 2, 3, 4) and numbers[:2] == (queries, 16)
    scale = np.array(numbers[2], np.int32).view(np.float32)
    assert scale == pytest.approx(48**-0.5 / np.log(2), rel=1e-7)


@pytest.mark.parametrize("head_dim", HEAD_DIMS)
def test_shared_memory_needs_no_permission(head_dim):
    kernel = SelfAttention(2, head_dim)
    assert kernel.shared_bytes == {24: 12288, 48: 28672}[head_dim] <= SHARED_LIMIT


def test_other_head_sizes_are_refused():
    with pytest.raises(InputError) as refusal:
        SelfAttention(2, 64)
    assert str(refusal.value) == "head_dim is 64; the kernel is for 24 or 48"


@pytest.mark.parametrize("head_dim", HEAD_DIMS)
def test_nothing_is_padded(head_dim):
    """Products are as many as 32 queries and 64 keys need, and each score has one power."""
    ptx = compile_source("self_attention", "compute_80", SelfAttention(1, head_dim).source.defines)
    code = ptx.code.decode()
    multiplied = {depth: code.count(f"mma.sync.aligned.m16n8k{depth}.row") for depth in (8, 16)}
    assert sum(16 * 8 * depth * count for depth, count in multiplied.items()) == (
        2 * 32 * 64 * head_dim
    )
    assert multiplied == {24: {8: 16, 16: 40}, 48: {8: 0, 16: 96}}[head_dim]
    lanes = 32
    assert code.count("ex2.approx.ftz.f32") == 32 * 64 // lanes + 4  # and one for each row's shift
