"""Photographs as a texture is baked from them: with masks, of bounded size, exposed alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.meshing.exposure import expose, find_gains
from geolrm.engine.meshing.mesh import Mesh
from geolrm.engine.meshing.sightings import Sighting, make_sighting
from geolrm.engine.views.alpha import split_alpha
from geolrm.engine.views.reduction import reduced

MOST_VIEWS = 64  # photographs; of more, so many are spread over the directions
MOST_PIXELS = 1 << 25  # of all photographs together, 20 bytes each; larger ones are reduced
SAMPLES = 20_000  # points at which exposures are compared
OPAQUE = 0.5  # of alpha: with less, a pixel shows background

Images = Sequence[NDArray[np.uint8]]
Valid = Sequence[NDArray[np.bool_] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One photograph."""

    rgb: NDArray[np.uint8]  # [H, W, 3]
    alpha: NDArray[np.float32]  # [H, W] in [0, 1]
    valid: NDArray[np.bool_] | None  # [H, W], False where nothing is known; None: all is
    camera: Cameras  # one


def prepare_photos(images: Images, cameras: Cameras, valid: Valid | None) -> list[Photo]:
    """Find the object in each image, and reduce what is too large for all to fit into memory.

    Args:
        images: V of [H, W, 3|4], straight alpha.
        cameras: V.
        valid: V of [H, W] or None; None: all is known.
    """
    chosen = list(range(len(images)))
    if len(images) > MOST_VIEWS:
        chosen = cameras.spread(MOST_VIEWS)
    made = []
    for index in chosen:
        image, mask = np.asarray(images[index]), None if valid is None else valid[index]
        height, width = image.shape[:2]
        scale = min(1.0, (MOST_PIXELS / len(chosen) / (height * width)) ** 0.5)
        image, mask = reduced(image, mask, max(1, int(scale * max(height, width))))
        alpha = split_alpha(image, index)[1]
        made.append(Photo(image[..., :3], alpha, mask, cameras[[index]]))
    return made


def make_sightings(photos: Sequence[Photo], mesh: Mesh) -> list[Sighting]:
    """Prepare photographs to look a mesh up in them."""
    faces = mesh.faces.astype(np.int32)
    return [
        make_sighting(
            photo.rgb.astype(np.float32) / np.float32(255),
            photo.alpha,
            photo.valid,
            photo.camera,
            mesh.vertices,
            faces,
        )
        for photo in photos
    ]


def level(
    photos: Sequence[Photo],
    sightings: Sequence[Sighting],
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
) -> Sequence[Sighting]:
    """Bring the exposures of sightings level, in place, by points [N, 3] of the surface."""
    every = slice(None, None, max(1, len(points) // SAMPLES))
    looks = [sighting.look(points[every], normals[every]) for sighting in sightings]
    gains = find_gains(np.stack([look[0] for look in looks]), np.stack([look[1] for look in looks]))
    for photo, sighting, gain in zip(photos, sightings, gains, strict=True):
        sighting.pixels[:, :3] = expose(photo.rgb, gain).reshape(-1, 3)
    return sightings


def share_outside(photos: Sequence[Photo], sightings: Sequence[Sighting]) -> float:
    """Tell which share of the mesh's pixels shows background, in the median photograph."""
    shares = []
    for photo, sighting in zip(photos, sightings, strict=True):
        covered = sighting.pixels[:, 4].reshape(photo.alpha.shape) > 0
        if photo.valid is not None:
            covered &= photo.valid
        if covered.any():
            shares.append(float((photo.alpha[covered] < OPAQUE).mean()))
    return float(np.median(shares)) if shares else 0.0
