"""How the photographs lie to a scene: how far off each is, in pixels, and in colour."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.refinement.targets import Targets
from geolrm.engine.rendering.images import Renders

MEASURED_SIZE = 128  # px, of the images that are laid over each other
MOVED = 0.9  # px of 256, root mean square of all views, beyond which poses are taken to be wrong
# px of 256, root mean square: splats that move leave less where poses are right, of so many views
# at least; fewer contradict each other in hardly any place. The network is never farther off.
EXPLAINED, FEWEST_EXPLAINED, FARTHEST_EXPLAINED = 0.55, 6, 1.5
FAR = 3.0  # times the error of the median view, beyond which a view counts less
OUT_OF_LINE = 0.5  # weight below which a view is named
RIDGE = 0.01  # pull of a colour matrix to the identity, in squared colours a pixel
OUTLINE = 3  # px of MEASURED_SIZE beside the edge of a mask that say nothing of colours
FEWEST_PIXELS = 600  # of MEASURED_SIZE without outlines: a smaller object shows detail alone
SMOOTHED = 0.08  # of the root of an object's pixels: light does not change faster
STAINED = 0.06  # largest change of a colour beyond which a view is corrected


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The photographs of a run beside its scene, all V of them in the order of the views."""

    c2w: NDArray[np.float64]  # [V, 4, 4] OpenGL camera-to-world, refined where `moved`
    moved: bool  # whether poses were refined
    residual_before: NDArray[np.float64]  # [V] px of 256: given pose, before any refinement
    residual_after: NDArray[np.float64]  # [V] px of 256: at the end
    weights: NDArray[np.float64]  # [V] in (0, 1], what each counted in the descent
    colors: NDArray[np.float64]  # [V, 3, 3], each photograph's RGB to that of the median one
    corrected: list[int] = field(default_factory=list)  # views whose colours were
    # dB inside the masks, how well plain colours explain the photographs, before a closing step;
    # None: not measured
    likeness: float | None = None
    explained: bool = False  # whether poses looked wrong, until splats moved
    shaded: bool = False  # whether colours depend on the direction they are seen from

    @property
    def out_of_line(self) -> list[int]:
        """The views that could not be brought in line, and so counted little."""
        return np.flatnonzero(self.weights < OUT_OF_LINE).tolist()


def misalignment(rendered: Renders, targets: Targets) -> NDArray[np.float64]:
    """Measure by how many px of the targets each view is shifted or turned: [V].

    One step of Lucas and Kanade with a similarity of the image, over colours on black and alpha;
    the root mean square of the motion over the object's pixels. Its scale is left out: splats are
    widened by a part of a pixel. What one shift of the whole scene explains is left out, too: the
    network's splats may lie a little aside, and no pose is to blame. What is far apart measures
    too small, but not small.
    """
    truth = np.concatenate([targets.premultiplied, targets.alpha[..., None]], -1)
    drawn = np.concatenate([rendered.rgb, rendered.alpha[..., None]], -1)
    if targets.valid is not None:  # nothing is seen across the border of what is known
        truth = drawn + targets.valid[..., None] * (truth - drawn)
    size = truth.shape[1]
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    shifts, rolls = np.zeros((len(truth), 2)), np.zeros(len(truth))
    for view in range(len(truth)):
        seen, model = _smooth(truth[view]), _smooth(drawn[view])
        inside = targets.alpha[view] > 0.5
        if not inside.any():
            continue
        x, y = columns - columns[inside].mean(), rows - rows[inside].mean()
        down, along = np.gradient(0.5 * (seen + model), axis=(0, 1))
        flow = np.stack([along, down, along * x[..., None] + down * y[..., None],
                         down * x[..., None] - along * y[..., None]])  # fmt: skip
        weight = 1.0 if targets.weights is None else targets.weights[view][..., None]
        flat = (flow * weight).reshape(4, -1)
        matrix = flat @ flow.reshape(4, -1).T
        ridge = np.diag(np.maximum(np.diag(matrix), 1e-9)) * 1e-3
        *shifts[view], _, roll = np.linalg.solve(matrix + ridge, flat @ (model - seen).ravel())
        rolls[view] = roll * np.sqrt(np.mean(x[inside] ** 2 + y[inside] ** 2))
    return np.hypot(np.linalg.norm(shifts - _shared_shifts(shifts, targets), axis=1), rolls)


def _shared_shifts(shifts: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
    """Return the part [V, 2] of the views' shifts that one shift of the scene explains.

    Least distances by least squares, so that one view far off changes nothing for the others. Two
    views are explained whole by it, and say nothing.
    """
    if len(shifts) < 3:
        return np.zeros_like(shifts)
    w2c = targets.frame.w2c.astype(np.float64)
    focal = targets.frame.intrinsics[:, [0, 1], [0, 1]]
    depth = np.maximum(w2c[:, 2, 3], 0.1)
    slopes = w2c[:, :2, :3] * (focal / depth[:, None])[..., None]
    weights = np.ones(len(shifts))
    shared = np.zeros_like(shifts)
    for _ in range(20):
        matrix = np.einsum("v,vij,vik->jk", weights, slopes, slopes)
        matrix += 1e-6 * np.trace(matrix) * np.eye(3)
        shared = slopes @ np.linalg.solve(matrix, np.einsum("v,vij,vi->j", weights, slopes, shifts))
        weights = 1 / np.maximum(np.linalg.norm(shifts - shared, axis=1), 1e-3)
    return shared


def color_matrices(rendered: Renders, targets: Targets) -> NDArray[np.float64]:
    """Estimate the matrix [V, 3, 3] that gives each photograph the colours of the scene.

    Least squares over the object's pixels, pulled to the identity; the median over the views is
    taken out, so that what all share stays.
    """
    matrices = np.tile(np.eye(3), (len(targets.alpha), 1, 1))
    for view, matrix in enumerate(matrices):
        weight = targets.alpha[view] * rendered.alpha[view] ** 2
        if targets.weights is not None:
            weight = weight * (targets.weights[view] > 0)
        chosen = weight > 0.9
        if np.count_nonzero(chosen) < 100:
            continue
        seen = targets.premultiplied[view][chosen].astype(np.float64)
        wanted = rendered.rgb[view][chosen].astype(np.float64)
        pull = RIDGE * len(seen) * np.eye(3)
        matrix[:] = np.linalg.solve(seen.T @ seen + pull, seen.T @ wanted + pull).T
    return matrices @ np.linalg.inv(np.median(matrices, axis=0))


def likeness(rendered: Renders, targets: Targets, colors: NDArray[np.float64]) -> float | None:
    """Measure how well a scene explains its photographs' light: dB, the median view's.

    The photographs' colours go through their matrices [V, 3, 3] first, so that exposure does not
    count. Nor do outlines, where a mask may hold some of the background, nor detail that splats
    do not hold: errors are averaged over a part of the object first. None where the object is too
    small in the images to tell.
    """
    errors = []
    for view, matrix in enumerate(colors):
        inside = targets.alpha[view] > 0.9
        if targets.valid is not None:
            inside &= targets.valid[view] > 0.9
        inside = _box_sums(inside, OUTLINE) == (2 * OUTLINE + 1) ** 2
        count = np.count_nonzero(inside)
        if count < FEWEST_PIXELS:
            continue
        wanted = targets.premultiplied[view].astype(np.float64) @ matrix.T
        error = (rendered.rgb[view] - wanted) * inside[..., None]
        radius = round(SMOOTHED * math.sqrt(count))
        smooth = _box_sums(error, radius) / np.maximum(_box_sums(inside, radius), 1)[..., None]
        errors.append(np.mean(smooth[inside] ** 2))
    return -10 * math.log10(max(float(np.median(errors)), 1e-10)) if errors else None


def _box_sums(values: NDArray, radius: int) -> NDArray[np.float64]:
    """Sum [H, W, ...] over squares of so many pixels to each side; nothing is outside."""
    sums = np.asarray(values, np.float64)
    for axis in (0, 1):
        size = sums.shape[axis]
        padding = [(radius + 1, radius) if a == axis else (0, 0) for a in range(sums.ndim)]
        running = np.cumsum(np.pad(sums, padding), axis=axis)
        step = 2 * radius + 1
        sums = running.take(range(step, step + size), axis) - running.take(range(size), axis)
    return sums


def stained(colors: NDArray[np.float64]) -> list[int]:
    """List the views whose matrix changes a middle grey by more than rounding and shading do."""
    change = np.abs(0.5 * (colors - np.eye(3)).sum(-1)).max(-1)
    return np.flatnonzero(change > STAINED).tolist()


def view_weights(rendered: Renders, targets: Targets) -> NDArray[np.float64]:
    """Weigh each view by its error against that of the median view: [V] in (0, 1]."""
    error = np.abs(rendered.rgb - targets.premultiplied).mean(-1) + np.abs(
        rendered.alpha - targets.alpha
    )
    if targets.valid is not None:
        error = error * targets.valid
    errors = error.mean((1, 2), dtype=np.float64) / np.maximum(targets.alpha.mean((1, 2)), 1e-3)
    limit = FAR * np.median(errors)
    return np.minimum(1.0, (limit / np.maximum(errors, 1e-9)) ** 2)


def only_stained(colors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep the matrices of stained views; the others are the identity."""
    kept = np.tile(np.eye(3), (len(colors), 1, 1))
    chosen = stained(colors)
    kept[chosen] = colors[chosen]
    return kept


def started(c2w: NDArray[np.float64], rendered: Renders, targets: Targets) -> Alignment:
    """Describe the photographs beside what the network made of them."""
    residuals = misalignment(rendered, targets) * 256 / targets.size
    plain = np.tile(np.eye(3), (len(c2w), 1, 1))
    return Alignment(c2w, False, residuals, residuals, np.ones(len(c2w)), plain)


def finished(
    alignment: Alignment, rendered: Renders, targets: Targets, light: Renders
) -> Alignment:
    """Measure again after a descent, and find the views whose colours are not the others'.

    Not before: what the network makes of a side that one view sees may have quite other colours.
    How well plain colours explain the light is measured on the renders ``light``.
    """
    corrected = targets.recolored(alignment.colors)
    residuals = misalignment(rendered, corrected) * 256 / targets.size
    if alignment.shaded:
        return replace(alignment, residual_after=residuals)
    colors, found = alignment.colors, color_matrices(rendered, targets)
    if not alignment.corrected:
        colors = only_stained(found)
    matched = found if light is rendered else color_matrices(light, targets)
    return replace(
        alignment, residual_after=residuals, colors=colors, corrected=stained(colors),
        likeness=likeness(light, targets, matched),
    )  # fmt: skip


def _smooth(colors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Blur [H, W, C] by the binomial of five taps, twice: single edges become slopes."""
    image = np.asarray(colors, np.float64)
    for axis in (0, 1, 0, 1):
        pad = [(2, 2) if a == axis else (0, 0) for a in range(3)]
        wide = np.pad(image, pad, mode="edge").swapaxes(0, axis)
        long = len(wide) - 4
        image = np.zeros_like(wide[:long])
        for start, tap in enumerate((1, 4, 6, 4, 1)):
            image += tap / 16 * wide[start : start + long]
        image = image.swapaxes(0, axis)
    return image
