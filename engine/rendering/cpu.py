"""Frames on the CPU, forward and backward: exact, and the same bits for any number of threads."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.errors import InputError
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders, check_out
from geolrm.engine.rendering.options import native_errors
from geolrm.engine.system.cores import useful_threads

MOST_THREADS = 256  # each takes half a megabyte


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """What a loss over images of a scene says to the scene's arrays."""

    means: NDArray[np.float32]  # [N, 3]
    opacities: NDArray[np.float32]  # [N]
    scales: NDArray[np.float32]  # [N, 3]
    quats: NDArray[np.float32]  # [N, 4]
    color: NDArray[np.float32]  # [N, 3] to colours, [N, K, 3] to harmonics
    # [V, 8] where it was asked for: to a turn (radians) and a move (scene units) of each camera,
    # after which a point x of its OpenCV frame is at exp(turn) x + move; to fx and fy (px).
    cameras: NDArray[np.float64] | None = None

    @classmethod
    def zeros(cls, count: int, coefficients: int = 0) -> Gradients:
        """Allocate them for N Gaussians of K coefficients; 0 stands for plain colours."""
        color = (count, coefficients, 3) if coefficients else (count, 3)
        shapes = ((count, 3), (count,), (count, 3), (count, 4), color)
        arrays = [np.zeros(shape, np.float32) for shape in shapes]
        return cls(*arrays[:4], color=arrays[4])


class Target(Protocol):
    """What is read of T photographs that a frame is compared with, each [H, W] px."""

    @property
    def premultiplied(self) -> NDArray[np.float32]:
        """[T, H, W, 3], colours times alpha."""
        ...

    @property
    def alpha(self) -> NDArray[np.float32]:
        """[T, H, W]."""
        ...

    @property
    def weights(self) -> NDArray[np.float32] | None:
        """[T, H, W] of the loss; None: 1."""
        ...


def render_frame(
    model: _C.SplatModel,
    frame: Frame,
    *,
    threads: int | None = None,
    out: Renders | None = None,
    **native: Any,
) -> Renders:
    """Render a packed scene.

    Args:
        model: The scene.
        frame: V cameras and the options.
        threads: At most this many, and no more than cores that this process may use, which None
            takes.
        out: Images to write into, instead of new ones.
        native: Of `_C.SplatModel.render`: isa, tile_size, pair_budget, cull.

    Raises:
        InputError: The images do not fit the frame, or a camera cannot be used.
    """
    if out is None:
        out = Renders.empty(len(frame), frame.size)
    else:
        check_out(out)
    with native_errors():
        model.render(
            frame.w2c, frame.intrinsics, *frame.size, frame.parameters,
            out.rgb, out.alpha, out.depth,
            threads=check_threads(threads), **native,
        )  # fmt: skip
    return out


def backward(
    model: _C.SplatModel,
    frame: Frame,
    to_images: Renders,
    *,
    coefficients: int = 0,
    cameras: bool = False,
    threads: int | None = None,
) -> Gradients:
    """Carry the gradients of a loss from a frame's images back to the scene.

    Args:
        model: The scene that was rendered.
        frame: The cameras and options that it was rendered with.
        to_images: The gradients to the three images, float32 and contiguous.
        coefficients: K of the scene's harmonics; 0 for plain colours.
        cameras: Whether to carry them to the cameras, too.
        threads: As for :func:`render_frame`; they never change the gradients.
    """
    gradients = Gradients.zeros(len(model), coefficients)
    if cameras:
        gradients = replace(gradients, cameras=np.zeros((len(frame), 8)))
    model.backward(
        frame.w2c, frame.intrinsics, *frame.size, frame.parameters,
        to_images.rgb, to_images.alpha, to_images.depth,
        gradients.means, gradients.opacities, gradients.scales, gradients.quats, gradients.color,
        gradients.cameras,
        threads=check_threads(threads),
    )  # fmt: skip
    return gradients


def compare(
    model: _C.SplatModel,
    frame: Frame,
    target: Target,
    chosen: Sequence[int],
    loss: _C.ImageLoss,
    *,
    coefficients: int = 0,
    cameras: bool = False,
    threads: int | None = None,
) -> tuple[Gradients, NDArray[np.float64]]:
    """Compare a frame with photographs and carry the gradients of that loss back to the scene.

    The same as :func:`render_frame`, the loss's gradients and :func:`backward`, in one walk through
    the splats.

    Args:
        model: The scene.
        frame: V cameras and the options, among them the background.
        target: T images, float32 and contiguous.
        chosen: V numbers of T: which of them each camera's image is compared with.
        loss: What an error costs.
        coefficients: K of the scene's harmonics; 0 for plain colours.
        cameras: Whether to carry gradients to the cameras, too.
        threads: As for :func:`render_frame`; they never change the result.

    Returns:
        The gradients, and the loss [V] of each view.
    """
    gradients = Gradients.zeros(len(model), coefficients)
    if cameras:
        gradients = replace(gradients, cameras=np.zeros((len(frame), 8)))
    with native_errors():
        losses = model.compare(
            frame.w2c, frame.intrinsics, *frame.size, frame.parameters,
            target.premultiplied, target.alpha, target.weights, chosen, loss,
            gradients.means, gradients.opacities, gradients.scales, gradients.quats,
            gradients.color, gradients.cameras,
            threads=check_threads(threads),
        )  # fmt: skip
    return gradients, losses


def check_threads(threads: int | None) -> int:
    """Return how many to use: no more than cores that this process may use; None takes them all."""
    if threads is None:
        return min(useful_threads(None), MOST_THREADS)
    try:
        count = operator.index(threads)
    except TypeError:
        count = 0
    if count < 1:
        raise InputError(
            f"threads is {threads!r}; it must be a whole number, 1 or more, or None for all cores"
        )
    return min(useful_threads(count), MOST_THREADS)
