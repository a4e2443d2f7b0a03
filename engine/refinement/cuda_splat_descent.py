"""The descent on splats on an NVIDIA GPU: splats, moments and images stay there, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.launch import Call, Launch, Source, ceil_div, integers, pointer
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.refinement.budget import REFERENCE_SIZE
from geolrm.engine.refinement.splat_descent import (
    ALPHA_SHARE,
    FLOOR,
    HUBER,
    HUBER_SLOPE,
    MOMENTS,
    SQUARE_SHARE,
    Parameters,
    to_gaussians,
    to_parameters,
)
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.rendering.cuda_gradients import DeviceGradients, SplatDifferentiator
from geolrm.engine.rendering.cuda_rasterizer import Device, DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.options import RenderOptions

SOURCE = Source("refinement")
THREADS = 256
MOST_BLOCKS = 4096
# How each parameter leads to what is rendered: the kernel's numbers for activations.
ACTIVATIONS = {"means": 0, "logits": 1, "log_scales": 2, "quats": 0, "color": 0}


class CudaSplatDescent:
    """The descent on a GPU: that of the CPU up to rounding, and the same bits every time.

    Args:
        device: The GPU; whoever calls holds its lock.
        origin: Where it starts.
        targets: What renders are compared with.
        rates: Of the first step, by parameter.
    """

    def __init__(
        self,
        device: Device,
        origin: Gaussians,
        targets: Targets,
        rates: Mapping[str, float | NDArray[np.float32]],
    ) -> None:
        self._device, self._origin, self._targets, self._rates = device, origin, targets, rates
        self._count = len(origin)
        self._coefficients = 0 if origin.sh is None else origin.sh.shape[1]
        self.move(to_parameters(origin))
        shown = {"opacities": "logits", "scales": "log_scales", "quats": "quats", "color": "color"}
        self._shown = {
            name: device.empty(self._current[of].shape, "float32") for name, of in shown.items()
        }
        self._gradients = DeviceGradients.empty(device, self._count, self._coefficients)
        maps = (targets.premultiplied, targets.alpha, targets.weights)
        self._images = [
            None if a is None else device.upload(np.ascontiguousarray(a, np.float32)) for a in maps
        ]
        self._rasterizer, self._differentiator = (
            SplatRasterizer(device),
            SplatDifferentiator(device),
        )
        self._renders: DeviceRenders | None = None

    def step(
        self,
        chosen: list[int],
        background: NDArray[np.float32],
        share: float,
        w2c: NDArray[np.float64] | None,
    ) -> NDArray[np.float64] | None:
        """Take one step; see :class:`geolrm.engine.refinement.splat_descent.SplatDescent`."""
        to_cameras = self._compare(chosen, background, w2c)
        self._step_adam(share)
        return to_cameras

    def view_gradients(
        self, chosen: list[int], background: NDArray[np.float32]
    ) -> Iterator[Parameters]:
        """Compare the chosen views one after another; see ``SplatDescent``."""
        for view in chosen:
            self._compare([view], background, None)
            means, opacities, scales, quats, color = (a.numpy() for a in self._gradients.arrays)
            shown = {name: self._shown[name].numpy() for name in ("opacities", "scales")}
            yield {
                "means": means,
                "logits": opacities * shown["opacities"] * (1 - shown["opacities"]),
                "log_scales": scales * shown["scales"],
                "quats": quats,
                "color": color.reshape(self._current["color"].shape),
            }

    def parameters(self) -> Parameters:
        """Return what is optimised; waits for the device."""
        return {name: array.numpy() for name, array in self._current.items()}

    def move(self, parameters: Parameters) -> None:
        """Put the splats elsewhere; see ``SplatDescent``."""
        self._steps = 0
        self._current = {name: self._device.upload(a) for name, a in parameters.items()}
        self._mean = {name: self._cleared(a.shape) for name, a in self._current.items()}
        self._square = {name: self._cleared(a.shape) for name, a in self._current.items()}

    def _compare(
        self, chosen: list[int], background: NDArray[np.float32], w2c: NDArray[np.float64] | None
    ) -> NDArray[np.float64] | None:
        """Leave the gradients to what is shown in their arrays; return those to cameras."""
        device, size, views = self._device, self._targets.size, len(chosen)
        if self._renders is None or self._renders.alpha.shape[0] != views:
            self._renders = DeviceRenders.empty(device, views, (size, size))
        renders = self._renders
        device.launch([self._activate()])
        color = "colors" if self._origin.sh is None else "sh"
        scene: Any = SimpleNamespace(
            means=self._current["means"], **{color: self._shown["color"]},
            **{name: self._shown[name] for name in ("opacities", "scales", "quats")},
        )  # fmt: skip
        splats = self._rasterizer.pack(scene)
        frame = replace(
            self._targets.frame,
            w2c=self._targets.frame.w2c[chosen] if w2c is None else w2c,
            intrinsics=self._targets.frame.intrinsics[chosen],
            parameters=RenderOptions(background=background.tolist()).parameters,
        )
        self._rasterizer.render_frame(splats, frame, out=renders)
        # A pixel of a small image stands for several: Adam has a floor.
        smaller = w2c is not None and size < REFERENCE_SIZE
        area = np.float32((REFERENCE_SIZE / size) ** 2) if smaller else np.float32(1)
        numbers = [*background, HUBER, HUBER_SLOPE, SQUARE_SHARE, ALPHA_SHARE, area]
        asked = device.upload(np.array(chosen, np.int32))
        loss = device.upload(np.array(numbers, np.float32))
        pixels = size * size
        launch = Launch((ceil_div(pixels, THREADS), views, 1), (THREADS, 1, 1))
        arguments = (*map(pointer, (*self._images, asked)), *integers(pixels), pointer(loss),
                     pointer(renders.rgb), pointer(renders.alpha))  # fmt: skip
        device.launch([Call(SOURCE, "compare_images", launch, arguments)])
        device.clear(renders.depth)
        _, to_cameras = self._differentiator.backward(
            splats, frame, renders, out=self._gradients, cameras=w2c is not None
        )
        return to_cameras

    def gaussians(self) -> Gaussians:
        """Return the Gaussians as they are; waits for the device."""
        return to_gaussians(self.parameters(), self._origin)

    def _activate(self) -> Call:
        current = (self._current[name] for name in ("logits", "log_scales", "quats", "color"))
        shown = (self._shown[name] for name in ("opacities", "scales", "quats", "color"))
        of_color = 3 * max(self._coefficients, 1)
        numbers = integers(self._count, of_color, self._coefficients > 0)
        return Call(
            SOURCE, "activate_splats",
            Launch((ceil_div(self._count, THREADS), 1, 1), (THREADS, 1, 1)),
            (*map(pointer, current), *numbers, *map(pointer, shown)),
        )  # fmt: skip

    def _step_adam(self, share: float) -> None:
        first, second = MOMENTS
        self._steps += 1
        bias = np.float32(1 - second**self._steps)
        numbers = [1 - first, 1 - second, bias, FLOOR]
        # Of each parameter: one rate, or one for each part of a splat's.
        rates = {
            name: np.ravel(np.asarray(share * rate / (1 - first**self._steps), np.float32))
            for name, rate in self._rates.items()
        }
        uploaded = self._device.upload(
            np.concatenate([np.array(numbers, np.float32), *rates.values()])
        )
        at = pointer(uploaded)
        to = dict(zip(self._current, self._gradients.arrays, strict=True))
        activated = {"logits": self._shown["opacities"], "log_scales": self._shown["scales"]}
        calls, offset = [], 4 * len(numbers)
        for name, rate in rates.items():
            size = int(np.prod(self._current[name].shape))
            inner = 3 if len(rate) > 1 else 1
            arrays = (self._current, self._mean, self._square, to)
            grid = (min(ceil_div(size, THREADS), MOST_BLOCKS), 1, 1)
            calls.append(Call(
                SOURCE, "step_adam", Launch(grid, (THREADS, 1, 1)),
                (*(pointer(a[name]) for a in arrays), pointer(activated.get(name)),
                 *integers(ACTIVATIONS[name], size), at + offset,
                 *integers(inner, len(rate)), at),
            ))  # fmt: skip
            offset += 4 * len(rate)
        self._device.launch(calls)

    def _cleared(self, shape: tuple[int, ...]) -> Any:
        array = self._device.empty(shape, "float32")
        self._device.clear(array)
        return array
