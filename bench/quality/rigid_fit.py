"""One rigid motion of a scene, fitted to its held-out views: what no input view can tell."""

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

STEP = 2e-3  # radians and units, of the differences
ITERATIONS = 4
FITTED_SIZE = 128  # px, of the images that the motion is fitted to
LEAST_ERROR = 1e-10  # mean square: equal images count as 100 dB
SETTLED = 1e-4  # radians and units: a smaller step ends the fit
Errors = Callable[[NDArray[np.float64]], NDArray[np.float32]]  # of a motion [4, 4]


def best_psnr(
    gaussians: Gaussians, cameras: Cameras, truths: NDArray[np.float32], threads: int | None
) -> float:
    """Return the PSNR at the cameras in dB, best over one rigid motion; see :func:`fit_motion`."""
    return fit_motion(gaussians, cameras, truths, threads)[1]


def fit_motion(
    gaussians: Gaussians, cameras: Cameras, truths: NDArray[np.float32], threads: int | None
) -> tuple[NDArray[np.float64], float]:
    """Find the rigid motion near the identity after which a scene fits its truths best.

    Gauss-Newton by differences, which is what least squares ask for, on reduced images; then once
    more on whole ones, and the best of all that was met there.

    Args:
        gaussians: The scene.
        cameras: V, of the truths.
        truths: [V, H, W, 3] on white.
        threads: Of the rasterizer.

    Returns:
        The motion [4, 4] of the scene, and the PSNR after it.
    """
    model = pack(gaussians)

    def errors(images: NDArray[np.float32]) -> Errors:
        frame = Frame.of(cameras, images.shape[2:0:-1])

        def error(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
            moved = replace(frame, w2c=frame.w2c @ matrix)
            return (render_frame(model, moved, threads=threads).rgb.clip(0, 1) - images).ravel()

        return error

    whole = errors(truths)
    reduced = _descend(errors(_reduced(truths)), np.eye(4), ITERATIONS)
    start = min(np.eye(4), reduced, key=lambda matrix: _squares(whole(matrix)))
    fitted = _descend(whole, start, 1)
    return fitted, float(-10 * np.log10(max(_squares(whole(fitted)) / truths.size, LEAST_ERROR)))


def _descend(error: Errors, start: NDArray[np.float64], iterations: int) -> NDArray[np.float64]:
    """Return the motion [4, 4] of the least error that so many steps of Gauss-Newton find."""
    best, there = start, error(start)
    for _ in range(iterations):
        slopes = np.stack(
            [(error(best @ _small(STEP * axis)) - there) / STEP for axis in np.eye(6)]
        )
        matrix = (slopes @ slopes.T).astype(np.float64)
        matrix += 1e-6 * np.trace(matrix) * np.eye(6)
        step = -np.linalg.solve(matrix, (slopes @ there).astype(np.float64))
        candidate = best @ _small(step)
        then = error(candidate)
        if _squares(then) >= _squares(there):
            break
        best, there = candidate, then
        if np.linalg.norm(step) < SETTLED:
            break
    return best


def _small(increment: NDArray[np.float64]) -> NDArray[np.float64]:
    return motion(increment[:3], increment[3:], np.zeros(3))


def _reduced(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average [V, H, W, 3] over squares of pixels, where that leaves FITTED_SIZE."""
    views, height, width, _ = images.shape
    factor = max(min(height, width) // FITTED_SIZE, 1)
    if height % factor or width % factor:
        return images
    parts = images.reshape(views, height // factor, factor, width // factor, factor, 3)
    return parts.mean((2, 4), dtype=np.float32)


def _squares(values: NDArray) -> float:
    return float(np.sum(np.square(values), dtype=np.float64))
