"""Frames on a GPU: which one renders what :func:`geolrm.render` is asked for, and how."""

from __future__ import annotations

from typing import Any

import numpy as np

from geolrm.engine.cuda import device as devices
from geolrm.engine.cuda.array import Device, DeviceArray
from geolrm.engine.errors import InputError
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.model import Splats
from geolrm.engine.system.extras import KERNEL_PACKAGES, require
from geolrm.engine.system.usable_gpu import check_gpu


def choose_gpu(gaussians: Splats, backend: str, device: int | Device) -> Device | None:
    """Return the GPU that is to render; None is the CPU.

    Args:
        gaussians: Those in device memory are rendered there.
        backend: ``auto``, ``cpu`` or ``cuda``.
        device: Number of the GPU for ``cuda``, or the one that ``auto`` takes.

    Raises:
        GeoLRMError: ``cuda`` is asked for, and the driver, the GPU or a package is missing.
    """
    if backend == "cpu":
        return None
    means: Any = gaussians.means
    if isinstance(means, DeviceArray):
        return means.device
    if not isinstance(device, int):
        return device
    if backend == "auto":
        return None
    what = "rendering with the backend cuda"
    check_gpu(what, device, "or render with the backend cpu")
    for package in KERNEL_PACKAGES:
        require(package, what)
    return devices.open_device(device)


def render_on_gpu(
    gpu: Device,
    gaussians: Splats,
    frame: Frame,
    *,
    out: Renders | DeviceRenders | None,
    stays: bool,
) -> Renders | DeviceRenders:
    """Render by the kernels, one caller at a time.

    Args:
        gpu: The GPU.
        gaussians: In host or device memory.
        frame: V cameras and the options.
        out: Images to write into; None makes new ones.
        stays: Whether the images stay on the device, where nothing is waited for.

    Raises:
        GeoLRMError: The memory does not suffice, or the kernels do not compile or run.
    """
    target = out if isinstance(out, DeviceRenders) else None
    with gpu.lock:
        images = rasterizer_of(gpu).render_frame(gaussians, frame, out=target)
        return images if stays else fetch(gpu, images, out if isinstance(out, Renders) else None)


def rasterizer_of(device: Device) -> SplatRasterizer:
    """Return the device's own rasterizer, on the stream of everything else there."""
    if "rasterizer" not in device.attached:
        device.attached["rasterizer"] = SplatRasterizer(device)
    return device.attached["rasterizer"]


def fetch(device: Device, images: DeviceRenders, out: Renders | None = None) -> Renders:
    """Copy images to the host, all with one wait."""
    if out is None:
        shapes = (images.rgb.shape, images.alpha.shape, images.depth.shape)
        out = Renders(*(device.empty_on_host(shape, np.float32) for shape in shapes))
    for name in ("rgb", "alpha", "depth"):
        source, target = getattr(images, name), getattr(out, name)
        fits = target.shape == source.shape and target.dtype == np.float32
        if not (fits and target.flags.c_contiguous):
            raise InputError(
                f"out.{name} is {target.dtype} {list(target.shape)}; it must be contiguous float32 "
                f"{list(source.shape)}"
            )
    for name in ("rgb", "alpha", "depth"):
        device.download(getattr(images, name), getattr(out, name))
    device.synchronize()
    return out
