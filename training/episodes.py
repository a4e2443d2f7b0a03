"""One training example: an object seen by input views and judged on target views."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.meshing.mesh import surface_points
from geolrm.engine.views.preprocessing import Views, make_views
from geolrm.training.config import Recipe, ViewConfig
from geolrm.training.data.meshes import Mesh, render_mesh
from geolrm.training.data.views import DISTANCES, FOV
from geolrm.training.occupancy import occupancy_from_points

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
        """The inputs on white, [V, 3, S, S]."""
        return self.foreground[:, :3] + (1 - self.foreground[:, 3:])

    def to(self, device: torch.device) -> "Episode":
        """Copy the tensors to another device."""
        moved = {name: getattr(self, name).to(device) for name in self.__slots__ if name != "name"}
        return replace(self, **moved)


def mesh_episode(mesh: Mesh, name: str, rng: np.random.Generator, recipe: Recipe) -> Episode:
    """Make an example of a mesh: choose cameras around it at random, and render it."""
    views, model = recipe.views, recipe.model
    distance = rng.uniform(*DISTANCES)
    inputs = input_cameras(views, distance, rng)
    targets = target_cameras(views, distance, rng)
    rgba, _ = render_premultiplied(mesh, inputs, model.image_size, views.supersample)
    target_rgba, depth = render_premultiplied(mesh, targets, views.target_size, views.supersample)
    posed = make_views(rgba, inputs.c2w, inputs.intrinsics, rgba[..., 3])
    points = surface_points(mesh.vertices, mesh.faces, SURFACE_POINTS, rng)
    occupancy = occupancy_from_points(points, model.proposal.grid_size, recipe.occupancy_convention)
    foreground = np.ascontiguousarray(rgba.transpose(0, 3, 1, 2))
    return assemble(name, posed, foreground, occupancy, targets, target_rgba, depth)


def assemble(
    name: str,
    inputs: Views,
    foreground: NDArray[np.float32],
    occupancy: NDArray[np.float32],
    targets: Cameras,
    target_rgba: NDArray[np.float32],
    target_depth: NDArray[np.float32],
) -> Episode:
    """Turn the arrays of an example into tensors, in the conventions of :class:`Episode`."""
    pixels = targets.intrinsics.copy()
    pixels[:, :2] *= target_rgba.shape[1]
    return Episode(
        name,
        torch.from_numpy(foreground),
        torch.from_numpy(inputs.c2w),
        torch.from_numpy(inputs.intrinsics),
        torch.from_numpy(inputs.projection),
        torch.from_numpy(occupancy),
        torch.from_numpy(target_rgba),
        torch.from_numpy(target_depth),
        torch.from_numpy(np.ascontiguousarray(targets.world_to_camera)),
        torch.from_numpy(pixels),
    )


def render_premultiplied(
    mesh: Mesh, cameras: Cameras, size: int, supersample: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Render a mesh to premultiplied RGBA [V, S, S, 4] and z-depth [V, S, S]."""
    rgb, alpha, depth = render_mesh(mesh, cameras, size, supersample=supersample, threads=1)
    return np.concatenate([rgb * alpha[..., None], alpha[..., None]], axis=-1), depth


def input_cameras(config: ViewConfig, distance: float, rng: np.random.Generator) -> Cameras:
    """Choose the cameras of the input views at random, ``distance`` cube sides away."""
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
    """Choose target cameras at random: upper and level orbit, top, bottom by their shares."""
    group = rng.choice(4, config.targets, p=np.array(config.target_groups))
    azimuths = rng.uniform(0, 360, config.targets)
    up, level = rng.uniform(5, 30), rng.uniform(-5, 5)
    elevations = np.array([up, level, 90.0, -90.0])[group]
    return Cameras.orbit(azimuths, elevations, distance, FOV)
