"""A texture for a mesh, from the photographs of its object. Needs the extra ``[mesh]``.

mesh -> unwrap -> fit to the photographs -> texels: points on the surface
  each photograph -> depth of the mesh, belief, exposure
    points in photographs -> blend by angle, belief and agreement
      -> level with the splats in holes -> gutters -> image
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.meshing.blending import blend, run_parts
from geolrm.engine.meshing.gutters import fill_gutters
from geolrm.engine.meshing.holes import FADE, level_offsets, splat_colors
from geolrm.engine.meshing.mesh import Mesh
from geolrm.engine.meshing.photos import (
    Images,
    Valid,
    level,
    make_sightings,
    prepare_photos,
    share_outside,
)
from geolrm.engine.meshing.surface_fit import fit_surface
from geolrm.engine.meshing.texels import Texels, find_texels
from geolrm.engine.meshing.textured_mesh import TexturedMesh
from geolrm.engine.meshing.unwrapping import unwrap
from geolrm.engine.system.cores import usable_cores
from geolrm.engine.system.user_warnings import warn

DEFAULT_SIZE, SMALLEST_SIZE, LARGEST_SIZE = 2048, 64, 8192  # texels along a side
DEFAULT_FACES = 12_000  # of a mesh that is unwrapped, which takes seconds for so many
MOST_OUTSIDE = 0.2  # share of the mesh's pixels that are background in the median photograph
LEAST_SEEN = 0.001  # share of the surface that photographs must see


def check_size(size: int, name: str = "size") -> None:
    """Refuse a side that :func:`texture` does not take."""
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise InputError(f"{name} is {size}; it must be {SMALLEST_SIZE} to {LARGEST_SIZE} pixels")


def texture(
    mesh: Mesh,
    images: Images,
    cameras: Cameras,
    *,
    valid: Valid | None = None,
    fused: Mesh | None = None,
    fit: bool = True,
    size: int = DEFAULT_SIZE,
    threads: int | None = None,
    step: Callable[[str], None] = lambda message: None,
) -> TexturedMesh:
    """Unwrap a mesh and bake a texture from photographs.

    Args:
        mesh: Its triangles stay; in the frame of the cameras.
        images: V of [H, W, 3|4], straight alpha; without it the background is found as for a run.
        cameras: V.
        valid: V of [H, W] or None, False where nothing is known of an image; None: all is.
        fused: The mesh as it was before it was decimated, for colours where no photograph sees the
            surface; None: ``mesh`` itself.
        fit: Whether its vertices are first moved to where the photographs agree.
        size: Side of the texture in texels.
        threads: At work; None takes all cores. The bits do not depend on them.
        step: Told what is done next.

    Raises:
        InputError: ``size`` is out of range, there are no triangles, or an image is none.
        GeoLRMError: A package of the extra is missing, or no photograph sees the mesh.
    """
    check_size(size)
    if not len(mesh.faces):
        raise InputError("the mesh has no triangles; there is nothing to texture")
    threads = usable_cores() if threads is None else threads
    step("unwrapping")  # as it was, since it is smoother then: fewer charts, in less time
    layout = unwrap(mesh.vertices, mesh.faces, mesh.normals, size)
    step("looking at the photographs")
    photos = prepare_photos(images, cameras, valid)
    if fit:
        step("fitting the surface")
        mesh = fit_surface(mesh, make_sightings(photos, mesh), threads)
    texels = find_texels(layout, size)
    points = texels.interpolate(mesh.vertices[layout.source])
    normals = _unit(texels.interpolate(mesh.normals[layout.source]))
    sightings = level(photos, make_sightings(photos, mesh), points, normals)
    outside = share_outside(photos, sightings)
    if outside > MOST_OUTSIDE:
        warn(
            f"where the photographs show background, the mesh is: {outside:.0%} of what it covers; "
            "are the splats of this capture, and in its frame? See geolrm render --cameras"
        )
    step("blending")
    colors, trust = blend(points, normals, sightings, threads)
    if (trust > 0).mean() < LEAST_SEEN:
        raise GeoLRMError(
            "no photograph sees the mesh, and so it has no texture; are the splats of this "
            "capture, and in its frame? See geolrm render --cameras"
        )
    step("filling holes")
    colors = _level(mesh, fused or mesh, layout.source, texels, points, colors, trust, threads)
    image = np.zeros((size * size, 3), np.float32)
    filled = np.zeros(size * size, np.bool_)
    image[texels.place], filled[texels.place] = colors, True
    image = fill_gutters(image.reshape(size, size, 3), filled.reshape(size, size))
    return TexturedMesh(
        mesh.vertices[layout.source],
        layout.faces,
        mesh.normals[layout.source],
        layout.uv,
        np.rint(image.clip(0, 1) * 255).astype(np.uint8),
    )


def _unit(normals: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    return normals / np.maximum(lengths, np.float32(1e-12))[:, None]


def _level(
    mesh: Mesh,
    fused: Mesh,
    source: NDArray[np.int64],
    texels: Texels,
    points: NDArray[np.float32],
    colors: NDArray[np.float32],
    trust: NDArray[np.float32],
    threads: int,
) -> NDArray[np.float32]:
    """Fill what photographs hardly see from the splats, moved to how photographs look around it."""
    own = splat_colors(mesh.vertices, fused, threads)  # [P, 3]
    count = len(mesh.vertices)
    nearest = texels.shares.argmax(axis=1)
    owner = source[texels.corners[np.arange(len(texels)), nearest]]
    sums = [np.bincount(owner, trust * colors[:, k], minlength=count) for k in range(3)]
    weight = np.bincount(owner, trust, minlength=count)
    known = np.stack(sums, axis=1) / np.maximum(weight, 1e-20)[:, None]
    share = weight / np.maximum(np.bincount(owner, minlength=count), 1)
    offsets = level_offsets(mesh.faces, np.where(share[:, None] > 0, known - own, 0), share)
    weak = np.flatnonzero(trust < FADE)

    def fill(part: slice) -> None:
        index = weak[part]
        base = splat_colors(points[index], fused, 1)
        base += texels.interpolate(offsets[source], index)
        mix = (trust[index] / np.float32(FADE))[:, None]
        colors[index] = mix * colors[index] + (1 - mix) * base

    run_parts(fill, len(weak), threads)
    return colors
