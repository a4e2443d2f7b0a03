"""Which Gaussians can be seen at all: what lies inside an object only costs."""

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.rendering.render import pack, to_opencv

NUM_CAMERAS = 24  # spread evenly over the sphere
CAMERA_DISTANCE = 1.8  # from the middle of the object cube
FOV = 50.0  # degrees; the cube fits
SIZE = 128  # px
LEAST_WEIGHT = 1.0  # px, of all cameras together


def blending_weights(
    gaussians: Gaussians, cameras: Cameras, size: int, threads: int | None = None
) -> NDArray[np.float32]:
    """[N] pixels that each Gaussian makes up: its sums of alpha T over all cameras' pixels.

    Colour is linear in these weights, so they are what a unit gradient of one channel yields.
    """
    w2c, intrinsics = to_opencv(cameras.c2w, cameras.intrinsics, (size, size))
    shape = (len(cameras), size, size)
    rgb = np.zeros((*shape, 3), np.float32)
    rgb[..., 0] = 1
    nothing = np.zeros(shape, np.float32)
    color = gaussians.colors if gaussians.sh is None else gaussians.sh[:, 0]
    arrays = (gaussians.means, gaussians.opacities, gaussians.scales, gaussians.quats, color)
    plain = Gaussians(*arrays[:4], colors=np.zeros_like(gaussians.means))
    gradients = [np.zeros_like(array) for array in (*arrays[:4], plain.means)]
    pack(plain).backward(
        w2c, intrinsics, size, size, _C.RasterParameters(), rgb, nothing, nothing, *gradients,
        threads=threads or 0,
    )  # fmt: skip
    return gradients[4][:, 0]


def drop_hidden(gaussians: Gaussians, threads: int | None = None) -> Gaussians:
    """Without the Gaussians that no camera around the object cube sees.

    One stays when it makes up at least a pixel of 24 pictures of 128 px together. Where that would
    leave nothing, as for splats far below a pixel, all stay.
    """
    if not len(gaussians):
        return gaussians
    weights = blending_weights(
        gaussians, Cameras.around(NUM_CAMERAS, CAMERA_DISTANCE, FOV), SIZE, threads
    )
    kept = weights >= LEAST_WEIGHT
    return gaussians.select(kept) if kept.any() else gaussians
