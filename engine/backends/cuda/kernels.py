"""The kernels that stand in for nodes of exported graphs: one class each, without CUDA itself.

An object holds what is fixed when a graph is built; its ``calls`` turn addresses and sizes into
launches, for :meth:`geolrm.engine.cuda.launch.Launcher.run`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from geolrm.engine.cuda.launch import (
    SHARED_LIMIT,
    Call,
    Launch,
    Source,
    ceil_div,
    integers,
    pointer,
)
from geolrm.engine.errors import InputError

# Storage type to its name in the sources, and its size in bytes.
STORAGE = {"float32": ("float", 4), "float16": ("Half", 2), "bfloat16": ("BFloat16", 2)}
INTEGER = {"int64": "long long", "int32": "int"}
WARP = 32
LOAD_BYTES = 16  # of the largest load
QUERY_THREADS = 256  # at most
BLOCK_THREADS = 768  # at most, as the source bounds it where a thread owns one vector
BLOCK_QUERIES = 8
VIEW_VALUES = 2**31  # fewer than these
LEAST_PIXELS = 3  # the pair beside a tap may be one of zero weights

# Of a number or a symbol by a number, rounded up: TensorRT has one for its symbols.
Divide = Callable[[Any, int], Any]


def storage_name(name: str, dtype: str) -> str:
    """Return a storage type's name in the sources, or refuse it."""
    if dtype not in STORAGE:
        raise InputError(f"{name} is stored as {dtype!r}; it must be one of {', '.join(STORAGE)}")
    return STORAGE[dtype][0]


@dataclass(frozen=True)
class DeformableCrossAttention:
    """``geolrm::DeformableCrossAttention``, see `export/onnx_operator.py` for the tensors.

    The kernel takes the node's inputs, then the integers of :meth:`sizes`, then the output: the
    order of a TensorRT ahead-of-time plugin.
    """

    heads: int
    head_dim: int  # e; d = heads * e
    levels: int
    points: int  # a level
    value: str = "float16"  # storage of value [V, L, d]
    query: str = "float16"  # of sampling_offsets and attention_logits
    reference: str = "float32"  # of reference_points
    weight: str = "float16"  # of view_weight and view_bias
    out: str = "float16"
    shapes: str = "int64"  # of level_shapes
    entry: str = field(default="deformable_cross_attention", init=False)

    def __post_init__(self) -> None:
        for name in ("heads", "head_dim", "levels", "points"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        for name in ("value", "query", "reference", "weight", "out"):
            storage_name(name, getattr(self, name))
        if self.shapes not in INTEGER:
            raise InputError(f"shapes is {self.shapes!r}; it must be one of {', '.join(INTEGER)}")
        if self.chunks > 8:
            raise InputError(
                f"{self.heads} heads of {self.head_dim} channels are too many for a block; at most "
                f"{8 * QUERY_THREADS * self.vector} channels fit when loads take {self.vector}"
            )
        if self.piece < 1:
            raise InputError(f"{self.heads} heads do not fit the shared memory of a block")

    @property
    def vector(self) -> int:
        """Channels read at once: the widest load of values that divides a head.

        Wider storage types of the weights and the output take several loads and stores.
        """
        vector = LOAD_BYTES // STORAGE[self.value][1]
        while self.head_dim % vector:
            vector //= 2
        return vector

    @property
    def lanes(self) -> int:
        """Threads of one query, whole warps."""
        vectors = self.heads * self.head_dim // self.vector
        return min(ceil_div(vectors, WARP) * WARP, QUERY_THREADS)

    @property
    def chunks(self) -> int:
        """Vectors of one thread."""
        return ceil_div(self.heads * self.head_dim // self.vector, self.lanes)

    @property
    def piece(self) -> int:
        """Samples of a level placed at a time: the largest divisor of P that leaves room."""
        fitting = [
            piece
            for piece in range(1, self.points + 1)
            if self.points % piece == 0 and self._query_bytes(piece) <= SHARED_LIMIT
        ]
        return max(fitting, default=0)

    @property
    def block_queries(self) -> int:
        """Queries of a block, which share what they read: neighbours in space, if sorted."""
        threads = BLOCK_THREADS if self.chunks == 1 else QUERY_THREADS
        fitting = SHARED_LIMIT // self._query_bytes(self.piece)
        return max(1, min(BLOCK_QUERIES, threads // self.lanes, fitting))

    def _query_bytes(self, piece: int) -> int:
        # As split_shared in the source lays it out.
        paired = STORAGE[self.value][1] == 2 and self.vector % 2 == 0
        slots = 2 * self.heads * (piece | 1)
        used = (20 if paired else 24) * slots + 8 * self.heads + 4 * (self.lanes // WARP)
        return ceil_div(used, 16) * 16

    @property
    def source(self) -> Source:
        """The source with this geometry's macros."""
        return Source(
            "deformable_cross_attention",
            {
                "GEOLRM_VALUE": STORAGE[self.value][0],
                "GEOLRM_REFERENCE": STORAGE[self.reference][0],
                "GEOLRM_QUERY": STORAGE[self.query][0],
                "GEOLRM_WEIGHT": STORAGE[self.weight][0],
                "GEOLRM_OUT": STORAGE[self.out][0],
                "GEOLRM_SIDE": INTEGER[self.shapes],
                "GEOLRM_VECTOR": self.vector,
                "GEOLRM_CHUNKS": self.chunks,
                "GEOLRM_GEOMETRY": ",".join(map(str, self._geometry)),
            },
        )

    def launch(self, queries: Any, divide: Divide = ceil_div) -> Launch:
        """Return the geometry for N queries; only the grid depends on it, and may be a symbol."""
        return Launch(
            (divide(queries, self.block_queries), 1, 1),
            (self.lanes, self.block_queries, 1),
            self.block_queries * self._query_bytes(self.piece),
        )

    def sizes(self, views: Any, queries: Any, pixels: int) -> tuple[Any, ...]:
        """List the kernel's integers: V and N as given (symbols too), L, then the fixed ones."""
        if pixels < LEAST_PIXELS:
            raise InputError(
                f"a view of {pixels} pixels is too small; the kernel reads pixels in pairs, and "
                f"needs {LEAST_PIXELS} or more"
            )
        if pixels * self.heads * self.head_dim >= VIEW_VALUES:
            raise InputError(
                f"a view of {pixels} pixels and {self.heads * self.head_dim} channels is too "
                "large; the kernel's indices need fewer than 2^31 values a view"
            )
        return (views, queries, pixels, *self._geometry)

    @property
    def _geometry(self) -> tuple[int, ...]:
        return (self.heads, self.head_dim, self.levels, self.points, self.piece)

    def calls(
        self,
        value: Any,
        level_shapes: Any,
        reference_points: Any,
        sampling_offsets: Any,
        attention_logits: Any,
        view_weight: Any,
        view_bias: Any,
        out: Any,
        *,
        views: int,
        queries: int,
        pixels: int,
        order: Any = None,
        value_bias: Any = None,
    ) -> list[Call]:
        """One launch.

        Args:
            value: [V, L, d] on the device, 16-byte aligned, as are all tensors; L = ``pixels``.
            level_shapes: [levels, 2] (H, W).
            reference_points: [V, N, 2] (u, v), [0, 1] inside the image.
            sampling_offsets: [N, h*levels*P*2] (x, y) in pixels of the level.
            attention_logits: [N, h*levels*P].
            view_weight: [d].
            view_bias: [1].
            out: [N, d], written.
            views: V.
            queries: N.
            pixels: L, the sum of H*W over the levels.
            order: int32 [N], a permutation in which neighbours lie close in space, or None. The
                result does not depend on it.
            value_bias: float32 [d], which is added to the values inside an image, or None.
        """
        tensors = (value, level_shapes, reference_points, sampling_offsets, attention_logits,
                   view_weight, view_bias)  # fmt: skip
        addresses = [pointer(tensor) for tensor in (*tensors, order)]
        entry = self.entry
        if value_bias is not None:
            addresses.append(pointer(value_bias))
            entry += "_biased"
        numbers = integers(*self.sizes(views, queries, pixels))
        arguments = (*addresses, *numbers, pointer(out))
        return [Call(self.source, entry, self.launch(queries), arguments)]


@dataclass(frozen=True)
class GridSample:
    """ONNX GridSample, mode linear, of images and volumes; padding ``zeros`` or ``border``."""

    storage: str = "float32"  # of input and output
    grid: str = "float32"
    padding: str = "zeros"
    align_corners: bool = False
    entry: str = field(default="grid_sample", init=False)

    def __post_init__(self) -> None:
        storage_name("input", self.storage)
        storage_name("grid", self.grid)
        if self.padding not in ("zeros", "border"):
            raise InputError(f"padding is {self.padding!r}; it must be 'zeros' or 'border'")

    @property
    def source(self) -> Source:
        """The source with the storage types' macros."""
        types = {"INPUT": STORAGE[self.storage][0], "GRID": STORAGE[self.grid][0]}
        return Source("grid_sample", {f"GEOLRM_{key}": name for key, name in types.items()})

    def launch(self, batch: Any, channels: int, points: Any, divide: Divide = ceil_div) -> Launch:
        """Geometry; the batch and the points of one of its entries may be symbols."""
        block = (64, 4, 1)
        channel_blocks = min(ceil_div(channels, block[1]), 64)
        return Launch((divide(points, block[0]), channel_blocks, batch), block)

    def sizes(self, shape: tuple[int, ...], points: Any) -> tuple[Any, ...]:
        """List the kernel's integers; ``shape`` is the input's without the batch."""
        if len(shape) not in (3, 4) or min(shape) < 1:
            raise InputError(
                f"input has shape {['N', *shape]}; it must be [N, C, H, W] or [N, C, D, H, W]"
            )
        channels, *sides = shape
        depth, height, width = [0, *sides] if len(sides) == 2 else sides
        if height * width * max(depth, 1) >= 2**31:
            raise InputError(
                f"input has sides {sides}; one channel must have fewer than 2^31 values"
            )
        modes = (int(self.align_corners), int(self.padding == "border"))
        return (channels, depth, height, width, points, *modes)

    def calls(
        self, input: Any, grid: Any, output: Any, *, shape: tuple[int, ...], points: int
    ) -> list[Call]:
        """One launch.

        Args:
            input: ``shape`` [N, C, H, W] or [N, C, D, H, W] on the device.
            grid: [N, points, 2] (x, y) or [N, points, 3] (x, y, z), in [-1, 1] inside.
            output: [N, C, points], written.
            shape: of the input.
            points: of one batch entry, the product of the grid's inner sides.
        """
        numbers = integers(*self.sizes(shape[1:], points))
        launch = self.launch(shape[0], shape[1], points)
        arguments = (pointer(input), pointer(grid), *numbers, pointer(output))
        return [Call(self.source, self.entry, launch, arguments)]
