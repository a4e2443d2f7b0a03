"""Which Gaussians can be seen at all: what lies inside an object only costs."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.array import Device
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.rendering.cpu import backward
from geolrm.engine.rendering.cuda_gradients import SplatDifferentiator
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.model import pack

NUM_CAMERAS = 24  # spread evenly over the sphere
CAMERA_DISTANCE = 1.8  # from the middle of the object cube
FOV = 50.0  # degrees; the cube fits
SIZE = 128  # px
LEAST_WEIGHT = 1.0  # px, of all cameras together


def blending_weights(
    gaussians: Gaussians,
    cameras: Cameras,
    size: int,
    threads: int | None = None,
    gpu: Device | None = None,
) -> NDArray[np.float32]:
    """Sum alpha T of each Gaussian over all cameras' pixels: [N] pixels that it makes up."""
    return shown_pixels(gaussians, Frame.of(cameras, (size, size)), threads, gpu)


def shown_pixels(
    gaussians: Gaussians, frame: Frame, threads: int | None = None, gpu: Device | None = None
) -> NDArray[np.float32]:
    """Sum alpha T of each Gaussian over the pixels of a frame: [N] pixels that it makes up."""
    width, height = frame.size
    ones = np.ones((len(frame), height, width), np.float32)
    return np.ascontiguousarray(carried(gaussians, frame, ones, threads, gpu))


def carried(
    gaussians: Gaussians,
    frame: Frame,
    images: NDArray[np.float32],
    threads: int | None = None,
    gpu: Device | None = None,
) -> NDArray[np.float32]:
    """Sum what images [V, H, W] hold over pixels, by the share of each Gaussian in them: [N].

    Colour is linear in these shares alpha T, so they are what a gradient of one channel yields.
    """
    to_rgb = np.zeros((*images.shape, 3), np.float32)
    to_rgb[..., 0] = images
    nothing = np.zeros(images.shape, np.float32)
    plain = replace(gaussians, colors=np.zeros_like(gaussians.means), sh=None)
    to_images = Renders(to_rgb, nothing, nothing)
    if gpu is None:
        return backward(pack(plain), frame, to_images, threads=threads).color[:, 0]
    uploaded: list[Any] = [gpu.upload(a) for a in (to_rgb, nothing, nothing)]
    splats = SplatRasterizer(gpu).pack(plain)
    to = SplatDifferentiator(gpu).backward(splats, frame, DeviceRenders(*uploaded))[0]
    return to.color.numpy()[:, 0]


def drop_hidden(
    gaussians: Gaussians, threads: int | None = None, gpu: Device | None = None
) -> Gaussians:
    """Leave out the Gaussians that no camera around the object cube sees: :func:`shows`."""
    kept = shows(gaussians, threads, gpu)
    return gaussians if kept.all() else gaussians.select(kept)


def shows(
    gaussians: Gaussians, threads: int | None = None, gpu: Device | None = None
) -> NDArray[np.bool_]:
    """Tell which of N Gaussians cameras around the object cube see: [N].

    One shows when it makes up at least a pixel of 24 images of 128 px together. Where that would
    leave nothing, as for splats far below a pixel, all do.
    """
    everything = np.ones(len(gaussians), bool)
    if not len(gaussians):
        return everything
    weights = blending_weights(
        gaussians, Cameras.around(NUM_CAMERAS, CAMERA_DISTANCE, FOV), SIZE, threads, gpu
    )
    kept = weights >= LEAST_WEIGHT
    return kept if kept.any() else everything
