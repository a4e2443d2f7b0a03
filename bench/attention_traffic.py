"""Bytes of values from L2 to L1, by queries a block: ``python -m geolrm.bench.attention_traffic``.

A simulation of deformable cross-attention on the inputs of `bench/gpu/kernels.py`, anchors near a
sphere and offsets of about a pixel. The queries of a block are at the same view and level at about
the same time, so the block reads each row of a head, 96 bytes in half precision, from L2 once a
level; later samples find it in L1, if what the block reads of a level fits there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.gpu.kernels import HEAD_DIM, HEADS, POINTS, SIDES, projected, shell
from geolrm.engine.system.exit_codes import one_sentence_errors

ROW_BYTES = 2 * HEAD_DIM
BLOCKS = 48  # of those that are simulated, evenly over the queries


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of one layer."""

    bytes_read: float  # from L2
    bytes_asked: float  # of L1
    most_held: int  # bytes that a block reads of one view and level


def simulate(
    views: int, queries: int, block: int, *, along_curve: bool, blocks: int = BLOCKS
) -> Traffic:
    """Count the rows that blocks of ``block`` queries read.

    Args:
        views: V.
        queries: N, along the Morton curve or in raster order of their voxels.
        block: Queries of a block.
        along_curve: The order.
        blocks: How many are simulated; all others are taken to be like them.
    """
    rng = np.random.default_rng(0)
    anchors, order = shell(queries)
    order = order if along_curve else np.arange(queries)
    references = projected(anchors, views)
    starts = np.linspace(0, queries // block - 1, blocks).astype(int) * block
    rows, most = 0, 0
    for start in starts:
        members = order[start : start + block]
        offsets = rng.standard_normal((len(members), HEADS, len(SIDES), POINTS, 2), np.float32)
        for view in range(views):
            for level, (height, width) in enumerate(SIDES):
                size = np.array([width, height], np.float32)
                places = (
                    references[view, members][:, None, None] * size - 0.5 + offsets[:, :, level]
                )
                read = count_rows(places, height, width)
                rows += read
                most = max(most, read * ROW_BYTES)
    share = queries / (len(starts) * block)
    samples = views * queries * HEADS * len(SIDES) * POINTS
    return Traffic(rows * share * ROW_BYTES, 4.0 * samples * ROW_BYTES, most)


def count_rows(places: NDArray[np.float32], height: int, width: int) -> int:
    """Count the rows under the taps of samples: different pairs of a pixel and a head.

    Args:
        places: [queries, heads, points, 2] (x, y) in pixels.
        height: H of the level, 2 or more.
        width: W, likewise.
    """
    corner = np.floor(places).astype(np.int64)
    x = np.clip(corner[..., 0], 0, width - 2)
    y = np.clip(corner[..., 1], 0, height - 2)
    inside = ((places > -1) & (places < [width, height])).all(-1)
    head = np.broadcast_to(np.arange(places.shape[1])[:, None], x.shape)
    taps = [(head * height + y + down) * width + x + right for down in (0, 1) for right in (0, 1)]
    return len(np.unique(np.stack(taps)[:, inside]))


def main() -> None:
    """Print a table for the target's setting."""
    print("| order | queries a block | from L2, GB | of L1, GB | most of a level, KB |")
    print("|---|--:|--:|--:|--:|")
    for along_curve in (False, True):
        for block in (1, 2, 4, 8, 16):
            traffic = simulate(21, 16384, block, along_curve=along_curve)
            name = "Morton" if along_curve else "raster"
            print(
                f"| {name} | {block} | {traffic.bytes_read / 1e9:.1f} "
                f"| {traffic.bytes_asked / 1e9:.1f} | {traffic.most_held / 1e3:.0f} |"
            )


if __name__ == "__main__":
    with one_sentence_errors():
        main()
