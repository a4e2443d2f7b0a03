"""What a frame of splats costs the device: its workspace and its launches, as data.

The kernels are described in ``csrc/rasterizer/splat.cuh``. All sizes follow from the numbers of
splats, cameras and pixels; nothing is read back, so the launches can be captured in a CUDA graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geolrm.engine.cuda.launch import Call, Launch, Source, ceil_div, integers, pointer
from geolrm.engine.cuda.radix_sort import THREADS, counts_bytes, sort_calls
from geolrm.engine.errors import InputError

TILE = 32  # pixels along a tile's side
PACKED_BYTES, RECORD_BYTES, BOX_BYTES, VIEW_BYTES = 64, 48, 8, 288
SLAB_STEP = 128  # ranks: 16 bytes of a tile's row
FIRST_SLAB = 4096  # ranks at least
BUDGET = 256 << 20  # bytes of workspace, exceeded only where one camera's fixed arrays need more
MOST_SIDE = 16384
ALIGNMENT = 256

PROJECT = Source("rasterizer/project")
BIN, BLEND = Source("rasterizer/bin"), Source("rasterizer/blend")
DECIDE = Source("rasterizer/decide")
UNDECIDED_BYTES = 16  # a pixel whose last splat is decided in double
DECIDE_THREADS, DECIDE_BLOCKS = 128, 64  # they take all that are listed


@dataclass(frozen=True, slots=True)
class SplatPlan:
    """Frames of V cameras, ``group`` of them at a time over one workspace."""

    count: int  # N, splats
    views: int  # V
    width: int
    height: int
    group: int  # cameras rendered together
    slabs: tuple[tuple[int, int], ...]  # ranks [first, stop), front to back
    layout: dict[str, tuple[int, int]]  # offset and bytes of each array of the workspace

    @classmethod
    def of(
        cls,
        count: int,
        views: int,
        size: tuple[int, int],
        *,
        budget: int = BUDGET,
        whole: bool = False,
    ) -> "SplatPlan":
        """Plan frames of at most ``budget`` bytes of workspace where that is possible.

        Slabs grow from an eighth of the splats, twice as large each time, until their bits and
        records take half of the budget for one camera. ``whole`` takes one slab of all splats
        instead, whatever it needs: the way back starts from its end.

        Raises:
            InputError: for sizes that the kernels cannot index.
        """
        width, height = size
        if not 1 <= width <= MOST_SIDE or not 1 <= height <= MOST_SIDE:
            raise InputError(
                f"size is {width}x{height}; sides must lie in [1, {MOST_SIDE}] px. Render larger "
                "images in parts"
            )
        if not 0 <= count < 2**30:
            raise InputError(
                f"{count} splats are too many for the GPU; at most {2**30 - 1} fit its indices. "
                "Split the scene"
            )
        tiles = ceil_div(width, TILE) * ceil_div(height, TILE)
        a_rank = tiles / 8 + RECORD_BYTES  # bytes
        most = max(int(budget / 2 / a_rank) // SLAB_STEP * SLAB_STEP, SLAB_STEP)
        slabs, first, step = [], 0, max(count // 8, FIRST_SLAB)
        if whole:
            slabs = [(0, count)]
        while not whole and (first < count or not slabs):
            step = min(ceil_div(step, SLAB_STEP) * SLAB_STEP, most)
            # What would remain a small last slab joins this one, if it fits.
            rest = count - first
            stop = count if rest <= min(step * 5 // 2, most) else first + step
            slabs.append((first, stop))
            first, step = stop, 2 * step
        one = cls(count, views, width, height, 1, tuple(slabs), {})
        group = min(views, max(budget // max(sum(one._sizes().values()), 1), 1))
        # The grid's y holds a camera each, and the matrix is cleared with 32-bit indices.
        group = min(group, 65535, max((2**31 - 1) // (tiles * max(one.words // 4, 1)), 1))
        plan = cls(count, views, width, height, max(group, 1), tuple(slabs), {})
        layout, offset = {}, 0
        for name, size_bytes in plan._sizes().items():
            layout[name] = (offset, size_bytes)
            offset += ceil_div(size_bytes, ALIGNMENT) * ALIGNMENT
        return cls(count, views, width, height, plan.group, tuple(slabs), layout)

    def __repr__(self) -> str:
        return (
            f"SplatPlan({self.count:,} splats, {self.views} views of {self.width}x{self.height}, "
            f"{len(self.slabs)} slabs, {self.group} at a time, {self.nbytes / 2**20:.0f} MiB)"
        )

    @property
    def tiles(self) -> tuple[int, int]:
        """Return the numbers of tiles along x and y."""
        return ceil_div(self.width, TILE), ceil_div(self.height, TILE)

    @property
    def words(self) -> int:
        """32-bit words of a tile's row in the matrix: those of the largest slab."""
        return 4 * ceil_div(max(stop - first for first, stop in self.slabs), SLAB_STEP)

    @property
    def nbytes(self) -> int:
        """Return the bytes of the workspace."""
        return sum(ceil_div(size, ALIGNMENT) * ALIGNMENT for size in self._sizes().values())

    def _sizes(self) -> dict[str, int]:
        keys = 4 * self.count * self.group
        tiles = self.tiles[0] * self.tiles[1] * self.group
        return {
            "keys": keys,
            "ids": keys,
            "other_keys": keys,
            "other_ids": keys,
            "boxes": BOX_BYTES * self.count * self.group,
            "counts": counts_bytes(self.count, self.group),
            "visible": 4 * self.group,
            "alive": 4 * tiles,
            "matrix": 4 * self.words * tiles,
            "records": RECORD_BYTES * 32 * self.words * self.group,
            "undecided": UNDECIDED_BYTES * self.width * self.height * self.group,
            "listed": 4 * self.group,
        }

    def pack(
        self, means: Any, opacities: Any, scales: Any, quats: Any, colors: Any, packed: Any
    ) -> list[Call]:
        """List the launch that packs a model, once for all its frames.

        Args:
            means: float32 [N, 3] on the device, as all that follow.
            opacities: [N].
            scales: [N, 3].
            quats: [N, 4] wxyz.
            colors: [N, 3], or None with spherical harmonics.
            packed: written, ``PACKED_BYTES`` a splat.
        """
        arrays = (pointer(a) for a in (means, opacities, scales, quats, colors))
        arguments = (*arrays, *integers(self.count), pointer(packed))
        return [Call(PROJECT, "pack_splats", _over(self.count, 1), arguments)]

    def render(
        self,
        packed: Any,
        source: Sequence[Any],
        views: Any,
        workspace: Any,
        rgb: Any,
        alpha: Any,
        depth: Any,
        *,
        sh: Any = None,
        coefficients: int = 0,
    ) -> list[Call]:
        """List the launches of a frame in order; none of them waits for the host.

        Args:
            packed: what :meth:`pack` has written.
            source: means, opacities, scales and quaternions that it was written from.
            views: ``_C.raster_views`` on the device, float64 [V, 36].
            workspace: ``nbytes``, aligned to 256 bytes; what it holds before does not matter.
            rgb: float32 [V, height, width, 3], written.
            alpha: [V, height, width], written.
            depth: [V, height, width], written: the sum of alpha T z.
            sh: [N, coefficients, 3] or None.
            coefficients: 1, 4, 9 or 16 with ``sh``.
        """
        calls = []
        for start in range(0, self.views, self.group):
            pixels = 4 * self.width * self.height * start
            images = (pointer(rgb) + 3 * pixels, pointer(alpha) + pixels, pointer(depth) + pixels)
            calls += self._render_group(
                min(self.group, self.views - start),
                pointer(packed),
                tuple(pointer(array) for array in source),
                pointer(views) + VIEW_BYTES * start,
                pointer(workspace),
                images,
                (pointer(sh), *integers(coefficients)),
            )
        return calls

    def _render_group(
        self,
        cameras: int,
        packed: int,
        source: tuple[int, ...],
        views: int,
        workspace: int,
        images: tuple[int, int, int],
        harmonics: tuple[Any, ...],
    ) -> list[Call]:
        at = self.addresses(workspace)
        tiles_x, tiles_y = self.tiles
        count, size = integers(self.count), (self.width, self.height)
        calls = self.order_calls(at, cameras, packed, views)
        for first, stop in self.slabs:
            calls.append(self.bin_call(at, cameras, packed, harmonics, views, (first, stop)))
            slab = integers(first, stop)
            launch = Launch((tiles_x * tiles_y, cameras, 1), (THREADS, 1, 1))
            numbers = integers(stop == self.count, *size, tiles_x, self.words)
            arguments = (at["records"], views, at["visible"], *slab, *numbers, at["matrix"],
                         at["alive"], *images, at["undecided"], at["listed"])  # fmt: skip
            calls.append(Call(BLEND, "blend_tiles", launch, arguments))
        launch = Launch((DECIDE_BLOCKS, cameras, 1), (DECIDE_THREADS, 1, 1))
        arguments = (packed, *source, *harmonics, *count, views, at["ids"], at["boxes"],
                     at["undecided"], at["listed"], *integers(*size), *images)  # fmt: skip
        calls.append(Call(DECIDE, "decide_pixels", launch, arguments))
        return calls

    def order_calls(
        self, at: Mapping[str, int], cameras: int, packed: int, views: int
    ) -> list[Call]:
        """List the launches that clear the tiles and sort what cameras see by depth.

        Args:
            at: Addresses of the workspace's arrays, as of :meth:`addresses`.
            cameras: How many, of the ``group``.
            packed: What :meth:`pack` has written.
            views: Of the cameras, ``VIEW_BYTES`` each.
        """
        tiles_x, tiles_y = self.tiles
        size, grid = (self.width, self.height), (tiles_x, tiles_y)
        quads = tiles_x * tiles_y * cameras * self.words // 4
        clear = Launch((min(max(ceil_div(quads, THREADS), 1), 2048), 1, 1), (THREADS, 1, 1))
        numbers = integers(cameras, *size, *grid, quads)
        arguments = (*numbers, at["alive"], at["listed"], at["matrix"])
        calls = [Call(PROJECT, "clear_tiles", clear, arguments)]
        arguments = (
            packed,
            *integers(self.count),
            views,
            *integers(*size),
            at["keys"],
            at["ids"],
            at["boxes"],
        )
        calls.append(Call(PROJECT, "project_splats", _over(self.count, cameras), arguments))
        calls += sort_calls(at, self.count, cameras)
        return calls

    def bin_call(
        self,
        at: Mapping[str, int],
        cameras: int,
        packed: int,
        harmonics: tuple[Any, ...],
        views: int,
        slab: tuple[int, int],
    ) -> Call:
        """Return the launch that sets a slab's bits and writes its records."""
        first, stop = slab
        arguments = (packed, *harmonics, *integers(self.count), views, at["ids"], at["boxes"],
                     at["visible"], *integers(first, stop, *self.tiles, self.words), at["alive"],
                     at["matrix"], at["records"])  # fmt: skip
        return Call(BIN, "bin_splats", _over(stop - first, cameras), arguments)

    def addresses(self, workspace: int) -> dict[str, int]:
        """Return where the workspace's arrays lie."""
        return {name: workspace + offset for name, (offset, _) in self.layout.items()}


def _over(count: int, cameras: int) -> Launch:
    return Launch((ceil_div(count, THREADS), cameras, 1), (THREADS, 1, 1))
