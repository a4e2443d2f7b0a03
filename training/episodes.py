"""One training example: an object seen by input views and judged on target views."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolrm.engine.cameras import Cameras
from geolrm.engine.preprocessing import make_views
from geolrm.training.config import Recipe, ViewConfig
from geolrm.training.data.augmentation import augment
from geolrm.training.data.meshes import Mesh, render_mesh, surface_points
from geolrm.training.occupancy import occupancy_from_points

FOV = 50.0  # degrees, of the capture rig
SURFACE_POINTS = 40000


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """Tensors of one example."""

    name: str
    foreground: Tensor  # [V, 4, S, S] premultiplied RGBA of the inputs
    c2w: Tensor  # [V, 4, 4] OpenGL
    intrinsics: Tensor  # [V, 3, 3] divided by the image size
    projection: Tensor  # [V, 3, 4]
    occupancy: Tensor  # [G, G, G] 0 or 1
    target_rgba: Tensor  # [T, R, R, 4] premultiplied
    target_depth: Tensor  # [T, R, R] z-depth at pixel centres, 0 where empty
    target_w2c: Tensor  # [T, 4, 4] OpenCV
    target_intrinsics: Tensor  # [T, 3, 3] in pixels

    @property
    def images(self) -> Tensor:
        """[V, 3, S, S] on white."""
        return self.foreground[:, :3] + (1 - self.foreground[:, 3:])

    def to(self, device: torch.device) -> "Episode":
        """The same on another device."""
        moved = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in ((n, getattr(self, n)) for n in self.__slots__)
        }
        return Episode(**moved)


class EpisodeSource:
    """Endless examples from meshes; an example depends only on the seed and its number."""

    def __init__(self, meshes: Sequence[Mesh], names: Sequence[str], recipe: Recipe):
        self.meshes, self.names, self.recipe = meshes, names, recipe

    def __getitem__(self, number: int) -> Episode:
        rng = np.random.default_rng([self.recipe.seed, number])
        # Whole passes over a shuffled list: every object is seen equally often.
        count = len(self.meshes)
        lap, position = divmod(number, count)
        order = np.random.default_rng([self.recipe.seed, 1, lap]).permutation(count)
        index = int(order[position])
        others = lambda: self.meshes[int(rng.integers(count))]  # noqa: E731
        mesh = augment(self.meshes[index], rng, others, self.recipe.augmentation)
        return make_episode(mesh, self.names[index], rng, self.recipe)


def make_episode(mesh: Mesh, name: str, rng: np.random.Generator, recipe: Recipe) -> Episode:
    """Draw cameras and render."""
    views, model = recipe.views, recipe.model
    distance = rng.uniform(1.7, 1.9)
    inputs = input_cameras(views, distance, rng)
    targets = target_cameras(views, distance, rng)
    rgba, _ = render_premultiplied(mesh, inputs, model.image_size, views.supersample)
    target_rgba, depth = render_premultiplied(mesh, targets, views.target_size, views.supersample)
    posed = make_views(rgba, inputs.c2w, inputs.intrinsics, rgba[..., 3])
    points = surface_points(mesh, SURFACE_POINTS, rng)
    occupancy = occupancy_from_points(points, model.proposal.grid_size)
    pixels = targets.intrinsics.copy()
    pixels[:, :2] *= views.target_size
    return Episode(
        name,
        torch.from_numpy(np.ascontiguousarray(rgba.transpose(0, 3, 1, 2))),
        torch.from_numpy(posed.c2w),
        torch.from_numpy(posed.intrinsics),
        torch.from_numpy(posed.projection),
        torch.from_numpy(occupancy),
        torch.from_numpy(target_rgba),
        torch.from_numpy(depth),
        torch.from_numpy(np.ascontiguousarray(targets.world_to_camera)),
        torch.from_numpy(pixels),
    )


def render_premultiplied(
    mesh: Mesh, cameras: Cameras, size: int, supersample: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[V, S, S, 4] premultiplied RGBA and [V, S, S] depth."""
    rgb, alpha, depth = render_mesh(mesh, cameras, size, supersample=supersample, threads=1)
    return np.concatenate([rgb * alpha[..., None], alpha[..., None]], axis=-1), depth


def input_cameras(config: ViewConfig, distance: float, rng: np.random.Generator) -> Cameras:
    """Cameras of the input views."""
    count = int(rng.integers(config.min_inputs, config.max_inputs + 1))
    if rng.random() < config.scattered:
        azimuths = rng.uniform(0, 360, count)
        elevations = np.rad2deg(np.arcsin(rng.uniform(-0.5, 0.9, count)))
    else:
        azimuths = rng.uniform(0, 360) + np.arange(count) * (360 / count)
        azimuths = azimuths + rng.uniform(-7.5, 7.5, count)
        elevations = np.full(count, rng.uniform(5, 30))
    return Cameras.orbit(azimuths, elevations, distance, FOV)


def target_cameras(config: ViewConfig, distance: float, rng: np.random.Generator) -> Cameras:
    """Cameras of the target views: upper orbit, level orbit, top and bottom by their shares."""
    group = rng.choice(4, config.targets, p=np.array(config.target_groups))
    azimuths = rng.uniform(0, 360, config.targets)
    up, level = rng.uniform(5, 30), rng.uniform(-5, 5)
    elevations = np.array([up, level, 90.0, -90.0])[group]
    return Cameras.orbit(azimuths, elevations, distance, FOV)
