"""Colours of a surface's points, from all photographs that see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.meshing.sightings import Sighting

PART = 1 << 15  # points at a time: what comes between stays in the cache
SPREAD = 0.12  # of colours around the mean of all views: what is further off hardly counts
ROUNDS = 2  # of weighing by the distance from the mean
GENTLE, SHARP = 0.5, 2.0  # powers of a weight: first all views have a say, then the straightest

Look = tuple[NDArray[np.float32], NDArray[np.float32]]  # colours [n, 3], weights [n]


def blend(
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    sightings: Sequence[Sighting],
    threads: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Blend what photographs show of points.

    A view counts by how straight it looks at a point and by how far from borders; where views
    disagree, those far from what most see count less, as if a highlight, a passer-by or an error
    of the surface were in them.

    Args:
        points: [N, 3] on the surface.
        normals: [N, 3], unit length.
        sightings: V prepared photographs.
        threads: Points are shared out among them; the colours do not depend on their number.

    Returns:
        Colours [N, 3] in [0, 1], and the sums of the views' weights [N] before they are compared;
        where that is 0 no photograph sees the point.
    """
    colors = np.zeros((len(points), 3), np.float32)
    trust = np.zeros(len(points), np.float32)

    def fill(part: slice) -> None:
        colors[part], trust[part] = _blend_part(points[part], normals[part], sightings)

    run_parts(fill, len(points), threads)
    return colors, trust


def run_parts(task: Callable[[slice], None], count: int, threads: int) -> None:
    """Call a task for each part of ``count`` points, in threads."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in pool.map(task, list(parts(count))):
            pass


def parts(count: int) -> Iterator[slice]:
    """Yield the parts of ``count`` points, in order."""
    for start in range(0, count, PART):
        yield slice(start, min(start + PART, count))


def _blend_part(
    points: NDArray[np.float32], normals: NDArray[np.float32], sightings: Sequence[Sighting]
) -> Look:
    seen: list[tuple[NDArray[np.intp], NDArray, NDArray]] = []
    for sighting in sightings:
        facing = np.flatnonzero(sighting.faces(points, normals))
        if len(facing):
            found, weight = sighting.look(points[facing], normals[facing])
            there = weight > 0
            seen.append((facing[there], found[there], weight[there]))
    trust = np.zeros(len(points), np.float32)
    for index, _, weight in seen:
        trust[index] += weight
    mean = _mean(seen, [weight**GENTLE for _, _, weight in seen], len(points))
    for turn in range(ROUNDS):
        power = SHARP if turn == ROUNDS - 1 else GENTLE
        weights = []
        for index, found, weight in seen:
            off = found - mean[index]
            square = np.einsum("ij,ij->i", off, off) * np.float32(1 / (3 * SPREAD * SPREAD))
            weights.append(weight**power / (1 + square) ** 2)
        mean = _mean(seen, weights, len(points))
    return mean, trust


def _mean(seen: list, weights: list[NDArray], count: int) -> NDArray[np.float32]:
    sums, total = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
    for (index, found, _), weight in zip(seen, weights, strict=True):
        sums[index] += found * weight[:, None]
        total[index] += weight
    means = sums / np.maximum(total, np.float32(1e-20))[:, None]
    return means.astype(np.float32, copy=False)
