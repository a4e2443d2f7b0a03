"""What the rasterizer's way back costs the device, for one camera: its memory and its launches.

The kernels are ``csrc/rasterizer/{trace,gradient,chain}.cu``. Their sums have a fixed order, so the
gradients are the same bits for any schedule, budget and group of tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.launch import Call, Launch, Source, ceil_div, integers, pointer
from geolrm.engine.cuda.radix_sort import THREADS
from geolrm.engine.rendering.splat_plan import (
    ALIGNMENT,
    DECIDE_BLOCKS,
    DECIDE_THREADS,
    SplatPlan,
)

TRACE = Source("rasterizer/trace")
GRADIENT = Source("rasterizer/gradient")
CHAIN = Source("rasterizer/chain")
ROW_BYTES = 40  # of a record in a tile: ten sums
CHAIN_THREADS = 128
CAMERA_BYTES = 64  # dL/d(a camera): eight float64


@dataclass(frozen=True, slots=True)
class GradientPlan:
    """One camera's way back over N splats."""

    splats: SplatPlan  # one slab of all splats
    layout: dict[str, tuple[int, int]]  # offset and bytes of each array beside its workspace

    @classmethod
    def of(cls, count: int, size: tuple[int, int]) -> GradientPlan:
        """Plan images of a size."""
        splats = SplatPlan.of(count, 1, size, whole=True)
        tiles, pixels = splats.tiles[0] * splats.tiles[1], size[0] * size[1]
        sizes = {
            "before": 4 * splats.words * tiles,
            "in_tile": 4 * tiles,
            "behind": 4 * pixels,
            "seen": 4 * pixels,
            "sums": ROW_BYTES * count,
            "of_blocks": CAMERA_BYTES * max(ceil_div(count, CHAIN_THREADS), 1),
        }
        layout, offset = {}, ceil_div(splats.nbytes, ALIGNMENT) * ALIGNMENT
        for name, nbytes in sizes.items():
            layout[name] = (offset, nbytes)
            offset += ceil_div(nbytes, ALIGNMENT) * ALIGNMENT
        return cls(splats, layout)

    @property
    def nbytes(self) -> int:
        """Return the bytes of the workspace, the plan of the splats included; without rows."""
        return max(offset + ceil_div(size, ALIGNMENT) * ALIGNMENT
                   for offset, size in self.layout.values())  # fmt: skip

    @property
    def tiles(self) -> int:
        """Return the number of tiles."""
        return self.splats.tiles[0] * self.splats.tiles[1]

    def addresses(self, workspace: int) -> dict[str, int]:
        """Return where the arrays of the workspace lie."""
        mine = {name: workspace + offset for name, (offset, _) in self.layout.items()}
        return self.splats.addresses(workspace) | mine

    def trace(
        self,
        packed: Any,
        source: Sequence[Any],
        view: Any,
        workspace: Any,
        needed: Any,
        *,
        sh: Any = None,
        coefficients: int = 0,
    ) -> list[Call]:
        """List the launches to the back of every pixel.

        Args:
            packed: What :meth:`SplatPlan.pack` has written.
            source: Means, opacities, scales and quaternions that it was written from.
            view: One row of ``_C.raster_views``, on the device.
            workspace: ``nbytes``, aligned to 256 bytes; what it holds before does not matter.
            needed: int32 [tiles], written: the records of each tile that get a row of sums.
            sh: float32 [N, coefficients, 3] or None.
            coefficients: 1, 4, 9 or 16 with ``sh``.
        """
        plan, at = self.splats, self.addresses(pointer(workspace))
        splats, camera = pointer(packed), pointer(view)
        harmonics = (pointer(sh), *integers(coefficients))
        calls = plan.order_calls(at, 1, splats, camera)
        calls.append(plan.bin_call(at, 1, splats, harmonics, camera, plan.slabs[0]))
        over_tiles = Launch((self.tiles, 1, 1), (THREADS, 1, 1))
        words = integers(plan.words)
        arguments = (at["matrix"], *words, at["before"], at["in_tile"])
        calls.append(Call(TRACE, "count_records", over_tiles, arguments))
        written = (at["behind"], at["seen"], pointer(needed))
        arguments = (at["records"], camera, *integers(plan.width, plan.height, plan.tiles[0]),
                     *words, at["matrix"], at["before"], at["in_tile"], *written,
                     at["undecided"], at["listed"])  # fmt: skip
        calls.append(Call(TRACE, "trace_tiles", over_tiles, arguments))
        launch = Launch((DECIDE_BLOCKS, 1, 1), (DECIDE_THREADS, 1, 1))
        arguments = (splats, *(pointer(a) for a in source), camera, at["ids"], at["boxes"],
                     at["undecided"], at["listed"], *integers(plan.width, plan.tiles[0]), *words,
                     at["matrix"], at["before"], *written)  # fmt: skip
        calls.append(Call(TRACE, "decide_traces", launch, arguments))
        return calls

    def groups(self, offsets: NDArray[np.int64], budget: int) -> Iterator[tuple[int, int]]:
        """Yield tiles [first, stop) whose rows fit the budget, in bytes; one tile always does.

        Args:
            offsets: [tiles + 1]; the first row of each tile, and how many there are.
            budget: Bytes of rows at a time.
        """
        first, most = 0, budget // ROW_BYTES
        while first < self.tiles:
            stop = int(np.searchsorted(offsets, offsets[first] + most, side="right")) - 1
            stop = min(max(stop, first + 1), self.tiles)
            yield first, stop
            first = stop

    def sum_rows(
        self,
        view: Any,
        workspace: Any,
        offsets: Any,
        group: tuple[int, int],
        to_images: Sequence[Any],
        rows: Any,
    ) -> list[Call]:
        """List the launches that sum a group of tiles over pixels, then over each splat's tiles.

        Args:
            view: As for :meth:`trace`.
            workspace: As :meth:`trace` has left it, and groups before this one.
            offsets: int64 [tiles + 1] on the device.
            group: Tiles [first, stop), one group after another from 0 on.
            to_images: dL/d(image): float32 [height, width, 3], [height, width], [height, width].
            rows: ``ROW_BYTES`` for each row of the group.
        """
        plan, at = self.splats, self.addresses(pointer(workspace))
        first, stop = group
        numbers = integers(plan.width, plan.height, plan.tiles[0], plan.words)
        arguments = (at["records"], pointer(view), *numbers, at["matrix"], at["before"],
                     at["behind"], at["seen"], pointer(offsets), *integers(first),
                     *(pointer(a) for a in to_images), pointer(rows))  # fmt: skip
        launch = Launch((stop - first, 1, 1), (THREADS, 1, 1))
        calls = [Call(GRADIENT, "tile_gradients", launch, arguments)]
        arguments = (at["ids"], at["boxes"], at["visible"], *integers(plan.tiles[0], plan.words),
                     at["matrix"], at["before"], pointer(offsets), *integers(first, stop),
                     pointer(rows), at["sums"])  # fmt: skip
        launch = Launch((ceil_div(plan.count, THREADS), 1, 1), (THREADS, 1, 1))
        return [*calls, Call(GRADIENT, "splat_sums", launch, arguments)]

    def chain(
        self,
        source: Sequence[Any],
        view: Any,
        workspace: Any,
        out: Sequence[Any],
        *,
        sh: Any = None,
        coefficients: int = 0,
        to_camera: int | None = None,
    ) -> list[Call]:
        """List the launches from the sums to the arrays, which are added to.

        Args:
            source: As for :meth:`trace`.
            view: As for :meth:`trace`.
            workspace: After all groups of :meth:`sum_rows`.
            out: dL/d(means, opacities, scales, quaternions, colours or ``sh``).
            sh: As for :meth:`trace`.
            coefficients: As for :meth:`trace`.
            to_camera: Address of ``CAMERA_BYTES`` that get dL/d(camera), or None.
        """
        at = self.addresses(pointer(workspace))
        blocks = ceil_div(self.splats.count, CHAIN_THREADS)
        of_blocks = 0 if to_camera is None else at["of_blocks"]
        arguments = (*(pointer(a) for a in source), pointer(sh), *integers(coefficients),
                     pointer(view), at["ids"], at["visible"], at["sums"],
                     *(pointer(a) for a in out), of_blocks)  # fmt: skip
        calls = [Call(CHAIN, "chain_splats", Launch((blocks, 1, 1), (CHAIN_THREADS, 1, 1)),
                      arguments)]  # fmt: skip
        if to_camera is not None:
            launch = Launch((1, 1, 1), (THREADS, 1, 1))
            arguments = (at["of_blocks"], *integers(blocks), to_camera)
            calls.append(Call(CHAIN, "sum_camera", launch, arguments))
        return calls
