"""Splats on their way down the loss over input images: parameters, gradients, Adam."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.refinement.budget import REFERENCE_SIZE, Budget
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.rendering.cpu import check_threads, compare
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
# The same of a long descent: centres stay nearer to the surface.
GENTLE_RATES = RATES | {"means": 1.4e-3, "color": 0.007}
MOMENTS = (0.8, 0.95)  # decay of Adam's mean and of its square
FLOOR = 1e-3  # added to Adam's denominator: a Gaussian of hardly a pixel hardly moves
HUBER_SLOPE = 0.1  # gradient of a colour's error from there on
HUBER = 0.02  # errors of a colour above it count linearly
SQUARE_SHARE = 0.5  # gradient of the squared error beside it
ALPHA_SHARE = 1.0  # gradient of the squared error of alpha
SMALLEST_SCALE = 1e-6
MOST_LOGIT = 80.0  # beyond, the opacity is 0 or 1 in float32, and its exponential overflows


def rates_of(budget: Budget) -> Mapping[str, float | NDArray[np.float32]]:
    """Return the rates of a budget's first step, by parameter."""
    return GENTLE_RATES if budget.gentle else RATES


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

    def parameters(self) -> Parameters:
        """Return what is optimised, in the host's memory; nobody else changes it."""
        ...

    def view_gradients(
        self, chosen: list[int], background: NDArray[np.float32]
    ) -> Iterator[Parameters]:
        """Compare the chosen views one after another; yield each one's gradients.

        The splats must stay where they are until the last has come.
        """
        ...

    def move(self, parameters: Parameters) -> None:
        """Put the splats elsewhere, as if the descent started there."""
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
        # As the native comparison reads them, in place.
        maps = (targets.premultiplied, targets.alpha, targets.weights)
        images = [None if m is None else np.ascontiguousarray(m, np.float32) for m in maps]
        names = ("premultiplied", "alpha", "weights")
        targets = replace(targets, **dict(zip(names, images, strict=True)))
        self._origin, self._targets, self._rates = origin, targets, rates
        self._threads = threads
        self._begin(to_parameters(origin))

    def step(
        self,
        chosen: list[int],
        background: NDArray[np.float32],
        share: float,
        w2c: NDArray[np.float64] | None,
    ) -> NDArray[np.float64] | None:
        """Take one step; see :class:`SplatDescent`."""
        candidate = to_gaussians(self._current, self._origin)
        found, to_cameras = gradients(
            candidate, self._targets, chosen, background, w2c, self._threads
        )
        for name, gradient in found.items():
            step_adam(
                self._current[name], self._mean[name], self._square[name], gradient,
                share * self._rates[name], self._steps, self._threads,
            )  # fmt: skip
        self._steps += 1
        return to_cameras

    def gaussians(self) -> Gaussians:
        """Return the Gaussians as they are; later steps leave them alone."""
        return to_gaussians(self.parameters(), self._origin)

    def parameters(self) -> Parameters:
        """Return what is optimised; see :class:`SplatDescent`."""
        return {name: array.copy() for name, array in self._current.items()}

    def view_gradients(
        self, chosen: list[int], background: NDArray[np.float32]
    ) -> Iterator[Parameters]:
        """Compare the chosen views one after another; see :class:`SplatDescent`."""
        candidate = to_gaussians(self._current, self._origin)
        return view_gradients(candidate, self._targets, chosen, background, self._threads)

    def move(self, parameters: Parameters) -> None:
        """Put the splats elsewhere; see :class:`SplatDescent`."""
        self._begin(parameters)

    def _begin(self, parameters: Parameters) -> None:
        self._current, self._steps = parameters, 0
        self._mean = {name: np.zeros_like(array) for name, array in parameters.items()}
        self._square = {name: np.zeros_like(array) for name, array in parameters.items()}


def gradients(
    candidate: Gaussians,
    targets: Targets,
    chosen: list[int],
    background: NDArray[np.float32],
    w2c: NDArray[np.float64] | None,
    threads: int | None,
) -> tuple[Parameters, NDArray[np.float64] | None]:
    """Differentiate the loss over the chosen targets to each parameter.

    With ``w2c`` [C, 4, 4], from where the chosen are seen then, to these cameras as well: [C, 8].
    """
    return _differentiate(candidate, pack(candidate), targets, chosen, background, w2c, threads)


def view_gradients(
    candidate: Gaussians,
    targets: Targets,
    chosen: list[int],
    background: NDArray[np.float32],
    threads: int | None,
) -> Iterator[Parameters]:
    """Differentiate the loss over each chosen target apart; the splats are packed once for all."""
    model = pack(candidate)
    for view in chosen:
        yield _differentiate(candidate, model, targets, [view], background, None, threads)[0]


def _differentiate(
    candidate: Gaussians,
    model: _C.SplatModel,
    targets: Targets,
    chosen: list[int],
    background: NDArray[np.float32],
    w2c: NDArray[np.float64] | None,
    threads: int | None,
) -> tuple[Parameters, NDArray[np.float64] | None]:
    cameras = w2c is not None
    frame = replace(
        targets.frame,
        w2c=targets.frame.w2c[chosen] if w2c is None else w2c,
        intrinsics=targets.frame.intrinsics[chosen],
        parameters=RenderOptions(background=background.tolist()).parameters,
    )
    smaller = cameras and targets.size < REFERENCE_SIZE
    loss = _C.ImageLoss(
        huber=HUBER, slope=HUBER_SLOPE, square_share=SQUARE_SHARE, alpha_share=ALPHA_SHARE,
        # A pixel of a small image stands for several: Adam has a floor.
        factor=(REFERENCE_SIZE / targets.size) ** 2 if smaller else 1.0,
    )  # fmt: skip
    coefficients = 0 if candidate.sh is None else candidate.sh.shape[1]
    to, _ = compare(
        model, frame, targets, chosen, loss,
        coefficients=coefficients, cameras=cameras, threads=threads,
    )  # fmt: skip
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
    threads: int | None = None,
) -> None:
    """Take one step of Adam with bias correction, in place.

    An array of rates is spread over a splat's numbers, those of ``values[0]``.
    """
    first, second = MOMENTS
    rates = np.asarray(rate / (1 - first ** (step + 1)), np.float32)
    if rates.ndim:
        rates = np.broadcast_to(rates, (1, *values.shape[1:]))
    _C.step_adam(
        values, mean, square, np.ascontiguousarray(gradient), np.ravel(rates),
        first=1 - first, second=1 - second, square_bias=1 - second ** (step + 1), floor=FLOOR,
        threads=check_threads(threads),
    )  # fmt: skip


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
        opacities=1 / (1 + np.exp(-current["logits"].clip(-MOST_LOGIT, MOST_LOGIT))),
        scales=np.exp(current["log_scales"]),
        quats=quats / np.maximum(norms, 1e-12),
        **({"colors": color.clip(0, 1)} if origin.sh is None else {"sh": color}),
    )
