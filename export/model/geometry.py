"""Cameras as the model sees them: Pluecker rays and the projection of anchors into the views."""

import torch
from torch import Tensor


def projection_matrices(intrinsics: Tensor, c2w: Tensor) -> Tensor:
    """Return matrices from the object frame to the image, before the perspective division.

    Args:
        intrinsics: [V, 3, 3], divided by the image size.
        c2w: [V, 4, 4], OpenGL camera-to-world.

    Returns:
        [V, 3, 4] float32 to normalised coordinates; inverted in double precision.
    """
    w2c = torch.linalg.inv(c2w.double())[:, :3]
    return (intrinsics.double() @ w2c).float()


def project(points: Tensor, projection: Tensor) -> Tensor:
    """Project points to the reference points of deformable attention (paper equation 4).

    Args:
        points: [N, 3] in the object frame.
        projection: [V, 3, 4] from :func:`projection_matrices`.

    Returns:
        [V, N, 2] (u, v), in [0, 1] inside the image. The camera's z is negative in front, so only
        u is flipped; points behind the camera are not treated apart.
    """
    a, b, z = (points @ projection[:, :, :3].transpose(1, 2) + projection[:, None, :, 3]).unbind(-1)
    return torch.stack([1 - a / z, b / z], dim=-1)


def pluecker_rays(intrinsics: Tensor, c2w: Tensor, size: int, normalise: bool) -> Tensor:
    """Return the Pluecker ray (direction, moment) of each pixel of square images.

    Only ``intrinsics[:, 0, 0]`` enters: the principal point is the image centre and fy = fx.

    Args:
        intrinsics: [V, 3, 3], divided by the image size.
        c2w: [V, 4, 4], OpenGL camera-to-world.
        size: Image side in pixels.
        normalise: Unit directions instead of the released un-normalised ones.

    Returns:
        [V, 6, size, size]: direction d, then moment o x d, in the object frame.
    """
    pixels = torch.arange(size, dtype=torch.float32, device=c2w.device) + (0.5 - size / 2)
    inverse_focal = (1 / (intrinsics[:, 0, 0] * size)).view(-1, 1, 1)
    x = pixels.view(1, 1, size) * inverse_focal
    y = -pixels.view(1, size, 1) * inverse_focal
    rotation, origin = c2w[:, :3, :3], c2w[:, :3, 3]
    axes = rotation.transpose(1, 2)[:, :, :, None, None]  # [V, camera axis, object axis, 1, 1]
    direction = axes[:, 0] * x[:, None] + axes[:, 1] * y[:, None] - axes[:, 2]
    if normalise:
        direction = direction / direction.norm(dim=1, keepdim=True)
    moment = torch.linalg.cross(origin[:, :, None, None].expand_as(direction), direction, dim=1)
    return torch.cat([direction, moment], dim=1)
