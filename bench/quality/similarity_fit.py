"""One similarity of a scene, fitted to its held-out views: what wrong poses cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.motions import motion
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.model import pack

STEP = 2e-3  # radians, units and logarithms of scales, of the differences
COARSE_ITERATIONS, ITERATIONS = 4, 6
REDUCED_SIZE = 128  # px, of the images that the coarse fit is made to
LEAST_ERROR = 1e-10  # mean square: equal images count as 100 dB
SETTLED = 1e-4  # of the same: a smaller step ends the fit
RIGID, SIMILAR = np.eye(7)[:6], np.eye(7)  # of turn, move and logarithm of scale
Errors = Callable[[NDArray[np.float64]], NDArray[np.float32]]  # of a similarity [4, 4]


def best_psnr(
    gaussians: Gaussians, cameras: Cameras, truths: NDArray[np.float32], threads: int | None
) -> float:
    """Return the PSNR at the cameras in dB, best over a similarity: :func:`fit_similarity`."""
    return fit_similarity(gaussians, cameras, truths, threads)[1]


def fit_similarity(
    gaussians: Gaussians, cameras: Cameras, truths: NDArray[np.float32], threads: int | None
) -> tuple[NDArray[np.float64], float]:
    """Find the similarity near the identity after which a scene fits its truths best.

    Gauss-Newton by differences, which is what least squares ask for: of a rigid motion on reduced
    images, where more is within reach, then of a similarity on whole ones, and the best of all that
    was met there. On reduced images alone the scale would come out too small: a splat is widened by
    the same part of a pixel in both. A scene that no image shows stays where it is.

    Args:
        gaussians: The scene.
        cameras: V, of the truths.
        truths: [V, H, W, 3] on white.
        threads: Of the rasterizer.

    Returns:
        The similarity [4, 4] of the scene, and the PSNR after it.
    """
    model = pack(gaussians)

    def errors(images: NDArray[np.float32]) -> Errors:
        frame = Frame.of(cameras, images.shape[2:0:-1])

        def error(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
            # A scene k times as large looks as from cameras k times as near: they stay rigid.
            scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
            w2c = frame.w2c @ matrix
            w2c[:, :3] /= scale
            moved = replace(frame, w2c=w2c)
            return (render_frame(model, moved, threads=threads).rgb.clip(0, 1) - images).ravel()

        return error

    whole = errors(truths)
    reduced = _descend(errors(_reduced(truths)), np.eye(4), COARSE_ITERATIONS, RIGID)
    start = min(np.eye(4), reduced, key=lambda matrix: _squares(whole(matrix)))
    fitted = _descend(whole, start, ITERATIONS, SIMILAR)
    return fitted, float(-10 * np.log10(max(_squares(whole(fitted)) / truths.size, LEAST_ERROR)))


def _descend(
    error: Errors, start: NDArray[np.float64], iterations: int, axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the similarity [4, 4] of the least error that so many steps of Gauss-Newton find."""
    best, there = start, error(start)
    for _ in range(iterations):
        slopes = np.stack([(error(best @ _small(STEP * axis)) - there) / STEP for axis in axes])
        matrix = (slopes @ slopes.T).astype(np.float64)
        if not np.trace(matrix) > 0:  # no image shows the scene: there is nothing to fit
            break
        matrix += 1e-6 * np.trace(matrix) * np.eye(len(axes))
        step = -np.linalg.solve(matrix, (slopes @ there).astype(np.float64)) @ axes
        candidate = best @ _small(step)
        then = error(candidate)
        if _squares(then) >= _squares(there):
            break
        best, there = candidate, then
        if np.linalg.norm(step) < SETTLED:
            break
    return best


def _small(increment: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = motion(increment[:3], increment[3:6], np.zeros(3))
    matrix[:3, :3] *= np.exp(increment[6])
    return matrix


def _reduced(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average [V, H, W, 3] over squares of pixels, where that leaves REDUCED_SIZE."""
    views, height, width, _ = images.shape
    factor = max(min(height, width) // REDUCED_SIZE, 1)
    if height % factor or width % factor:
        return images
    parts = images.reshape(views, height // factor, factor, width // factor, factor, 3)
    return parts.mean((2, 4), dtype=np.float32)


def _squares(values: NDArray) -> float:
    return float(np.sum(np.square(values), dtype=np.float64))
