"""Gradients of the rasterizer's images on an NVIDIA GPU: those of the CPU, up to rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from geolrm import _C
from geolrm.engine.cuda.launch import pointer
from geolrm.engine.errors import InputError
from geolrm.engine.rendering.cpu import Gradients
from geolrm.engine.rendering.cuda_rasterizer import Device, DeviceRenders, DeviceSplats
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.gradient_plan import CAMERA_BYTES, ROW_BYTES, GradientPlan
from geolrm.engine.rendering.options import native_errors
from geolrm.engine.rendering.splat_plan import VIEW_BYTES

ROWS_BUDGET = 128 << 20  # bytes of rows at a time: 3.3 million splats of tiles


@dataclass(frozen=True, slots=True, eq=False)
class DeviceGradients:
    """What a loss over images of a scene says to the scene's arrays, on the device; added to."""

    means: Any  # [N, 3]
    opacities: Any  # [N]
    scales: Any  # [N, 3]
    quats: Any  # [N, 4]
    color: Any  # [N, 3] to colours, [N, K, 3] to harmonics

    @classmethod
    def empty(cls, device: Device, count: int, coefficients: int = 0) -> DeviceGradients:
        """Allocate them for N Gaussians of K coefficients; 0 stands for plain colours."""
        color = (count, coefficients, 3) if coefficients else (count, 3)
        shapes = ((count, 3), (count,), (count, 3), (count, 4), color)
        return cls(*(device.empty(shape, "float32") for shape in shapes))

    @property
    def arrays(self) -> tuple[Any, ...]:
        """Return the five arrays in the order of the kernels."""
        return self.means, self.opacities, self.scales, self.quats, self.color

    def numpy(self) -> Gradients:
        """Copy them to the host; waits for the stream."""
        return Gradients(*(array.numpy() for array in self.arrays))


class SplatDifferentiator:
    """Carries gradients back from images; buffers are kept from call to call.

    Args:
        device: Memory and launches.
        budget: Bytes of rows at a time; it never changes the gradients.
    """

    def __init__(self, device: Device, *, budget: int = ROWS_BUDGET) -> None:
        self.device, self.budget = device, budget
        self._plan: GradientPlan | None = None
        self._workspace: Any = None
        self._needed: Any = None
        self._rows: Any = None
        self._row_bytes = 0

    def backward(
        self,
        splats: DeviceSplats,
        frame: Frame,
        to_images: DeviceRenders,
        *,
        out: DeviceGradients | None = None,
        cameras: bool = False,
    ) -> tuple[DeviceGradients, np.ndarray | None]:
        """Carry the gradients of a loss from a frame's images back to the scene.

        A camera costs one wait for the device: how many rows it needs is known there alone.

        Args:
            splats: The scene that was rendered.
            frame: The cameras and options that it was rendered with.
            to_images: The gradients to the three images.
            out: Cleared and written; None makes new ones.
            cameras: Whether to carry them to the cameras, too.

        Returns:
            The gradients, and those to the cameras, float64 [V, 8] as on the CPU, or None.
        """
        expected = (len(frame), frame.size[1], frame.size[0])
        if tuple(to_images.alpha.shape) != expected:
            raise InputError(
                f"the gradients are of images {list(to_images.alpha.shape)}; the frame has "
                f"{list(expected)}"
            )
        if out is None:
            out = DeviceGradients.empty(self.device, splats.count, splats.coefficients)
        for array in out.arrays:
            self.device.clear(array)
        to_cameras = np.zeros((len(frame), CAMERA_BYTES // 8)) if cameras else None
        if splats.count == 0 or len(frame) == 0:
            return out, to_cameras
        with native_errors():
            rows = _C.raster_views(frame.w2c, frame.intrinsics, *frame.size, frame.parameters)
        plan = self._planned(splats.count, frame.size)
        views = self.device.upload(rows.view(np.uint8))
        written = self.device.empty((len(frame), CAMERA_BYTES), "uint8") if cameras else None
        for number in range(len(frame)):
            view = pointer(views) + VIEW_BYTES * number
            camera = None if written is None else pointer(written) + CAMERA_BYTES * number
            self._view_backward(plan, splats, view, _pixels(to_images, number), out, camera)
        if written is not None:
            to_cameras = written.numpy().view(np.float64)
        return out, to_cameras

    def _view_backward(
        self,
        plan: GradientPlan,
        splats: DeviceSplats,
        view: int,
        to_images: tuple[int, int, int],
        out: DeviceGradients,
        to_camera: int | None,
    ) -> None:
        harmonics = {"sh": splats.sh, "coefficients": splats.coefficients}
        self.device.launch(plan.trace(splats.packed, splats.source, view, self._workspace,
                                      self._needed, **harmonics))  # fmt: skip
        offsets = np.zeros(plan.tiles + 1, np.int64)
        np.cumsum(self._needed.numpy(), out=offsets[1:])
        on_device = self.device.upload(offsets)
        groups = list(plan.groups(offsets, self.budget))
        self._reserve(max(int(offsets[stop] - offsets[first]) for first, stop in groups))
        calls = []
        for group in groups:
            calls += plan.sum_rows(view, self._workspace, on_device, group, to_images, self._rows)
        calls += plan.chain(splats.source, view, self._workspace, out.arrays,
                            to_camera=to_camera, **harmonics)  # fmt: skip
        self.device.launch(calls)

    def _planned(self, count: int, size: tuple[int, int]) -> GradientPlan:
        plan = self._plan
        if plan is None or (plan.splats.count, plan.splats.width, plan.splats.height) != (
            count,
            *size,
        ):
            plan = GradientPlan.of(count, size)
            self._plan = self._workspace = self._needed = None  # freed before more is taken
            self._workspace = self.device.empty((plan.nbytes,), "uint8")
            self._needed = self.device.empty((plan.tiles,), "int32")
            self._plan = plan  # not where memory has run out
        return plan

    def _reserve(self, rows: int) -> None:
        nbytes = max(rows, 1) * ROW_BYTES
        if nbytes > self._row_bytes:
            self._rows, self._row_bytes = None, 0
            self._rows = self.device.empty((nbytes,), "uint8")
            self._row_bytes = nbytes


def _pixels(images: DeviceRenders, number: int) -> tuple[int, int, int]:
    """Return the addresses of one camera's images."""
    height, width = images.alpha.shape[1:]
    offset = 4 * height * width * number
    return (
        pointer(images.rgb) + 3 * offset,
        pointer(images.alpha) + offset,
        pointer(images.depth) + offset,
    )
