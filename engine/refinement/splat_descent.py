"""Splats on their way down the loss over input images: parameters, gradients, Adam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.refinement.budget import REFERENCE_SIZE
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.rendering.cpu import backward, render_frame
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.model import pack
from geolrm.engine.rendering.options import RenderOptions

Parameters = dict[str, NDArray[np.float32]]  # what is optimised, by name

# Of each parameter at the first step: object units, logits, logarithms, colours.
RATES: dict[str, float | NDArray[np.float32]] = {
    "means": 2e-3,
    "logits": 0.15,
    "log_scales": 0.05,
    "quats": 0.02,
    "color": 0.02,
}
MOMENTS = (0.8, 0.95)  # decay of Adam's mean and of its square
FLOOR = 1e-3  # added to Adam's denominator: a Gaussian of hardly a pixel hardly moves
HUBER_SLOPE = 0.1  # gradient of a colour's error from there on
HUBER = 0.02  # errors of a colour above it count linearly
SQUARE_SHARE = 0.5  # gradient of the squared error beside it
ALPHA_SHARE = 1.0  # gradient of the squared error of alpha
SMALLEST_SCALE = 1e-6


class SplatDescent(Protocol):
    """Splats on their way down the loss, wherever they are."""

    def step(
        self,
        chosen: list[int],
        background: NDArray[np.float32],
        share: float,
        w2c: NDArray[np.float64] | None,
    ) -> NDArray[np.float64] | None:
        """Compare the chosen views and take one step of Adam.

        Args:
            chosen: Numbers of C of the targets.
            background: [3] that they are compared on.
            share: Of the first step's rates.
            w2c: [C, 4, 4] where cameras are refined, too: from where to look.

        Returns:
            [C, 8] float64, the gradients to these cameras, with ``w2c``; else None.
        """
        ...

    def gaussians(self) -> Gaussians:
        """Return them as they are; later steps leave them alone."""
        ...


class HostSplatDescent:
    """The descent on the CPU.

    Args:
        origin: Where it starts.
        targets: What renders are compared with.
        rates: Of the first step, by parameter.
        threads: Of the rasterizer; they never change the result.
    """

    def __init__(
        self,
        origin: Gaussians,
        targets: Targets,
        rates: Mapping[str, float | NDArray[np.float32]],
        threads: int | None,
    ) -> None:
        self._origin, self._targets, self._rates = origin, targets, rates
        self._threads, self._steps = threads, 0
        self._current = to_parameters(origin)
        self._mean = {name: np.zeros_like(array) for name, array in self._current.items()}
        self._square = {name: np.zeros_like(array) for name, array in self._current.items()}

    def step(
        self,
        chosen: list[int],
        background: NDArray[np.float32],
        share: float,
        w2c: NDArray[np.float64] | None,
    ) -> NDArray[np.float64] | None:
        """Take one step; see :class:`SplatDescent`."""
        compared = self._targets[chosen]
        if w2c is not None:
            compared = compared.seen_from(w2c)
        candidate = to_gaussians(self._current, self._origin)
        found, to_cameras = gradients(
            candidate, compared, background, w2c is not None, self._threads
        )
        for name, gradient in found.items():
            step_adam(
                self._current[name], self._mean[name], self._square[name], gradient,
                share * self._rates[name], self._steps,
            )  # fmt: skip
        self._steps += 1
        return to_cameras

    def gaussians(self) -> Gaussians:
        """Return the Gaussians as they are; later steps leave them alone."""
        current = {name: array.copy() for name, array in self._current.items()}
        return to_gaussians(current, self._origin)


def gradients(
    candidate: Gaussians,
    targets: Targets,
    background: NDArray[np.float32],
    cameras: bool,
    threads: int | None,
) -> tuple[Parameters, NDArray[np.float64] | None]:
    """Differentiate the loss over the targets' views to each parameter, and to cameras if asked."""
    model = pack(candidate)
    parameters = RenderOptions(background=background.tolist()).parameters
    frame = replace(targets.frame, parameters=parameters)
    rendered = render_frame(model, frame, threads=threads)
    alpha = targets.alpha
    error = rendered.rgb - targets.premultiplied - (1 - alpha[..., None]) * background
    to_rgb = (HUBER_SLOPE * np.clip(error / HUBER, -1, 1) + SQUARE_SHARE * error).astype(np.float32)
    to_alpha = ALPHA_SHARE * (rendered.alpha - alpha)
    if targets.weights is not None:
        to_rgb, to_alpha = to_rgb * targets.weights[..., None], to_alpha * targets.weights
    if cameras and targets.size < REFERENCE_SIZE:  # a pixel stands for several: Adam has a floor
        area = np.float32((REFERENCE_SIZE / targets.size) ** 2)
        to_rgb, to_alpha = to_rgb * area, to_alpha * area
    to_images = Renders(to_rgb, to_alpha, np.zeros_like(alpha))
    coefficients = 0 if candidate.sh is None else candidate.sh.shape[1]
    to = backward(
        model, frame, to_images, coefficients=coefficients, cameras=cameras, threads=threads
    )
    gradients = {
        "means": to.means,
        "logits": to.opacities * candidate.opacities * (1 - candidate.opacities),
        "log_scales": to.scales * candidate.scales,
        "quats": to.quats,
        "color": to.color,
    }
    return gradients, to.cameras


def step_adam(
    values: NDArray[np.float32],
    mean: NDArray[np.float32],
    square: NDArray[np.float32],
    gradient: NDArray[np.float32],
    rate: float | NDArray[np.float32],
    step: int,
) -> None:
    """Take one step of Adam with bias correction, in place."""
    first, second = MOMENTS
    mean += (1 - first) * (gradient - mean)
    square += (1 - second) * (gradient * gradient - square)
    scale = np.sqrt(square / np.float32(1 - second ** (step + 1)))
    values -= (
        np.asarray(rate / (1 - first ** (step + 1)), np.float32)
        * mean
        / (scale + np.float32(FLOOR))
    )


def to_parameters(gaussians: Gaussians) -> Parameters:
    """Return what is optimised, as new arrays."""
    opacities = gaussians.opacities.clip(1e-4, 1 - 1e-4)
    color = gaussians.colors if gaussians.sh is None else gaussians.sh
    assert color is not None  # one of the two is always there
    return {
        "means": gaussians.means.copy(),
        "logits": np.log(opacities / (1 - opacities)),
        "log_scales": np.log(np.maximum(gaussians.scales, SMALLEST_SCALE)),
        "quats": gaussians.quats.copy(),
        "color": color.copy(),
    }


def to_gaussians(current: Parameters, origin: Gaussians) -> Gaussians:
    """Activate the parameters; colours or spherical harmonics as the origin has them."""
    quats = current["quats"]
    norms = np.linalg.norm(quats, axis=1, keepdims=True)
    color = current["color"]
    return replace(
        origin,
        means=current["means"],
        opacities=1 / (1 + np.exp(-current["logits"])),
        scales=np.exp(current["log_scales"]),
        quats=quats / np.maximum(norms, 1e-12),
        **({"colors": color.clip(0, 1)} if origin.sh is None else {"sh": color}),
    )
