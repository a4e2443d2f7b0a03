"""Softmax attention among queries on a GPU, for head sizes that others pad: the kernel's launches.

Like the other kernels, without CUDA itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geolrm.engine.cuda.launch import Call, Launch, Source, ceil_div, integers, pointer
from geolrm.engine.errors import InputError

HEAD_DIMS = (24, 48)  # a multiple of 64 is what ONNX Runtime's attention runs unpadded
WARPS = 4
BLOCK_QUERIES = 32 * WARPS
KEYS = 64  # in shared memory at a time, twice


@dataclass(frozen=True)
class SelfAttention:
    """Attend by softmax over all queries, each head for itself, in float16."""

    heads: int
    head_dim: int  # e; d = heads * e

    def __post_init__(self) -> None:
        if self.head_dim not in HEAD_DIMS:
            known = " or ".join(map(str, HEAD_DIMS))
            raise InputError(f"head_dim is {self.head_dim}; the kernel is for {known}")

    @property
    def source(self) -> Source:
        """The kernel's source for this head size."""
        return Source("self_attention", {"GEOLRM_HEAD_DIM": self.head_dim})

    @property
    def shared_bytes(self) -> int:
        """Of two buffers of keys and values; rows of 96 bytes are put 112 apart, for the banks."""
        row = self.head_dim if self.head_dim % 16 else self.head_dim + 8
        return 2 * 2 * KEYS * row * np.dtype(np.float16).itemsize

    def calls(self, query: Any, key: Any, value: Any, out: Any, *, queries: int) -> list[Call]:
        """Return the launch.

        Args:
            query: float16 [N, d], heads in contiguous blocks, aligned to 16 bytes.
            key: Like the queries.
            value: Like the queries.
            out: float16 [N, d], written.
            queries: N.
        """
        scale = np.float32(math.log2(math.e) / math.sqrt(self.head_dim))
        numbers = integers(queries, self.heads, int(scale.view(np.int32)))
        grid = (ceil_div(queries, BLOCK_QUERIES), self.heads, 1)
        launch = Launch(grid, (32 * WARPS, 1, 1), self.shared_bytes)
        tensors: Sequence[int] = [pointer(array) for array in (query, key, value)]
        arguments = (*tensors, *numbers, pointer(out))
        return [Call(self.source, "self_attention", launch, arguments)]
