"""Examples from posed objects: some of their views go in, others are the targets."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.refinement.budget import REFERENCE_SIZE
from geolrm.engine.views.preprocessing import prepare_views
from geolrm.training.config import Recipe
from geolrm.training.data.augmentation import AugmentationConfig, draw_recoloring
from geolrm.training.data.meshes import rotation
from geolrm.training.data.posed_object import PosedObject
from geolrm.training.data.views import back_project
from geolrm.training.episodes import KEPT_POINTS, Episode, assemble, compared
from geolrm.training.occupancy import occupancy_from_points


def posed_episode(
    posed: PosedObject, name: str, rng: np.random.Generator, recipe: Recipe
) -> Episode:
    """Make an example of a posed object: choose views at random, and vary them.

    Raises:
        InputError: The object has too few views.
    """
    views = recipe.views
    if len(posed) <= views.min_inputs:
        raise InputError(
            f"{name} has {len(posed)} views; {views.min_inputs} inputs and a target are needed"
        )
    posed = varied(posed, rng, recipe.augmentation)
    count = min(int(rng.integers(views.min_inputs, views.max_inputs + 1)), len(posed) - 1)
    chosen = choose_inputs(posed.cameras, count, views.scattered, rng)
    others = np.setdiff1d(np.arange(len(posed)), chosen)
    targets = rng.choice(others, min(views.targets, len(others)), replace=False)
    refines = recipe.refines
    inputs = prepare_views(
        posed.rgba[chosen], posed.cameras[chosen], recipe.model.image_size,
        REFERENCE_SIZE if refines else None,
    )  # fmt: skip
    grid_size = recipe.model.proposal.grid_size
    points = surface(posed, grid_size)
    occupancy = occupancy_from_points(points, grid_size, recipe.occupancy_convention)
    episode = assemble(
        name,
        inputs,
        inputs.foreground,
        occupancy,
        points[:: max(1, len(points) // KEPT_POINTS)],
        posed.cameras[targets],
        resized(posed.rgba[targets], views.target_size),
        sampled(posed.depth[targets], views.target_size),
    )
    return compared(episode, inputs) if refines else episode


def varied(posed: PosedObject, rng: np.random.Generator, config: AugmentationConfig) -> PosedObject:
    """Vary colours, and turn by quarters about z, which keeps the object in its cube."""
    matrix, offset = draw_recoloring(rng, config)
    rgba = posed.rgba
    if not np.array_equal(matrix, np.eye(3)):
        rgb = rgba[..., :3].astype(np.float32) @ matrix.T.astype(np.float32)
        rgb = (rgb + np.float32(255) * offset.astype(np.float32) + 0.5).clip(0, 255)
        rgba = np.concatenate([rgb.astype(np.uint8), rgba[..., 3:]], axis=-1)
    if rng.random() >= config.spin:
        return replace(posed, rgba=rgba)
    turn = np.round(rotation(2, 90.0 * int(rng.integers(4))))
    c2w = posed.cameras.c2w.copy()
    c2w[:, :3] = turn @ c2w[:, :3]
    points = np.ascontiguousarray(posed.points @ turn.T.astype(np.float32))
    return replace(posed, rgba=rgba, points=points, cameras=Cameras(c2w, posed.cameras.intrinsics))


def choose_inputs(
    cameras: Cameras, count: int, scattered: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose input views: any, or spread evenly over directions from a random first."""
    if rng.random() < scattered:
        return rng.choice(len(cameras), count, replace=False)
    order = np.roll(np.arange(len(cameras)), -int(rng.integers(len(cameras))))
    return order[cameras[order].spread(count)]


def surface(posed: PosedObject, grid_size: int) -> NDArray[np.float32]:
    """Return its points and those of its depth, about two to the width of a voxel: [P, 3]."""
    stride = max(1, posed.size // (2 * grid_size))
    sparse = np.zeros_like(posed.depth)
    sparse[:, ::stride, ::stride] = posed.depth[:, ::stride, ::stride]
    return np.concatenate([posed.points, back_project(sparse, posed.cameras)])


def resized(rgba: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Resize [T, S, S, 4] straight RGBA to [T, size, size, 4] premultiplied, in [0, 1]."""
    colors = rgba.astype(np.float32) / np.float32(255)
    colors[..., :3] *= colors[..., 3:]
    if rgba.shape[1] == size:
        return colors
    method = Image.Resampling.BOX if size < rgba.shape[1] else Image.Resampling.BILINEAR
    planes = np.moveaxis(colors, -1, 1).reshape(-1, *rgba.shape[1:3])
    small = [np.asarray(Image.fromarray(p).resize((size, size), method)) for p in planes]
    stacked = np.stack(small).reshape(len(rgba), 4, size, size)
    return np.ascontiguousarray(np.moveaxis(stacked, 1, -1))


def sampled(depth: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Sample depth [T, S, S] under the centre of each new pixel: [T, size, size]."""
    index = ((np.arange(size) + 0.5) * (depth.shape[1] / size)).astype(np.int64)
    return np.ascontiguousarray(depth[:, index[:, None], index])
