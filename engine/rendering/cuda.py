"""Draw on a GPU what :func:`geolrm.render` is asked for, or leave it to the CPU and say why."""

from __future__ import annotations

from typing import Any

import numpy as np

from geolrm.engine.backends.cuda.gaussians import DeviceGaussians
from geolrm.engine.backends.selection import check_gpu
from geolrm.engine.cuda import device as devices
from geolrm.engine.cuda.device import Device
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.render import Posed, Renders, Splats
from geolrm.engine.system.extras import KERNEL_PACKAGES, require
from geolrm.engine.system.output import Output
from geolrm.engine.system.user_warnings import warn


def choose_gpu(gaussians: Splats, backend: str, device: int | Device) -> Device | None:
    """Where to draw; None is the CPU.

    Args:
        gaussians: Those in device memory are drawn there.
        backend: ``auto``, ``cpu`` or ``cuda``.
        device: Number of the GPU for ``cuda``, or the one that ``auto`` takes.

    Raises:
        GeoLRMError: ``cuda`` is asked for, and the driver, the GPU or a package is missing.
    """
    if backend == "cpu":
        return None
    if isinstance(gaussians, DeviceGaussians):
        return gaussians.device
    if not isinstance(device, int):
        return device
    if backend == "auto":
        return None
    what = "drawing with the backend cuda"
    check_gpu(what, device, "or draw with the backend cpu")
    for package in KERNEL_PACKAGES:
        require(package, what)
    return devices.open_device(device)


def draw(
    gaussians: Splats,
    cameras: Posed,
    size: tuple[int, int],
    *,
    backend: str,
    device: int | Device,
    out: Renders | DeviceRenders | None,
    output: Output,
    **parameters: Any,
) -> Renders | DeviceRenders | None:
    """Images by the kernels, on the device or fetched; None: the CPU is to draw.

    Where ``auto`` leaves to the CPU what the GPU cannot draw, a warning says why.
    """
    gpu = choose_gpu(gaussians, backend, device)
    if gpu is None:
        return None
    target = out if isinstance(out, DeviceRenders) else None
    stays = target is not None or output == "device"
    try:
        with gpu.lock:
            images = rasterizer_of(gpu).render(gaussians, cameras, size, out=target, **parameters)
            if stays:
                return images
            return fetch(gpu, images, out if isinstance(out, Renders) else None)
    except GeoLRMError as error:
        if stays or backend != "auto":
            raise
        warn(f"drawing on the CPU instead of the GPU: {error}")
        return None


def on_host(gaussians: Splats) -> Splats:
    """For the CPU's rasterizer."""
    return gaussians.numpy() if isinstance(gaussians, DeviceGaussians) else gaussians


def rasterizer_of(device: Device) -> SplatRasterizer:
    """The device's own, on the stream of everything else there."""
    if "rasterizer" not in device.attached:
        device.attached["rasterizer"] = SplatRasterizer(device)
    return device.attached["rasterizer"]


def fetch(device: Device, images: DeviceRenders, out: Renders | None = None) -> Renders:
    """Copies on the host, all with one wait."""
    views, height, width = images.alpha.shape
    if out is None:
        out = Renders.empty(views, (width, height))
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
