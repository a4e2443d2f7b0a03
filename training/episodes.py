"""One training example: an object seen by input views and judged on target views."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geolrm.engine.geometry.cameras import GOLDEN_ANGLE, Cameras
from geolrm.engine.meshing.mesh import surface_points
from geolrm.engine.refinement.budget import REFERENCE_SIZE
from geolrm.engine.views.preprocessing import Views, make_views, prepare_views
from geolrm.training.config import Recipe, ViewConfig
from geolrm.training.data.conditions import happens, take
from geolrm.training.data.meshes import Mesh, render_mesh
from geolrm.training.data.views import DISTANCES, FOV, least_distance
from geolrm.training.occupancy import occupancy_from_points

SURFACE_POINTS, KEPT_POINTS = 40000, 10000  # for occupancy, and of them for distances
ROOM = 1.35  # of the least distance, that free framing keeps at most
PAST_CENTRE = 0.2  # cube sides along each axis, that a camera off centre looks past it at most


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
    surface: Tensor  # [P, 3] points of the true one
    valid: Tensor | None = None  # [V, S, S] 1 where an input shows something; None: everywhere
    # Of a refinement's stage alone, [V, 4, R, R] and [V, R, R]: the inputs as it compares them
    reference: Tensor | None = None
    reference_valid: Tensor | None = None

    @property
    def images(self) -> Tensor:
        """The inputs on white, [V, 3, S, S]; white, too, where nothing is known."""
        return self.foreground[:, :3] + (1 - self.foreground[:, 3:])

    def to(self, device: torch.device) -> "Episode":
        """Copy the tensors to another device."""
        values = {name: getattr(self, name) for name in self.__slots__}
        moved = {k: v.to(device) for k, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **moved)


def mesh_episode(mesh: Mesh, name: str, rng: np.random.Generator, recipe: Recipe) -> Episode:
    """Make an example of a mesh: choose cameras around it at random, render it, and take it so."""
    views, model = recipe.views, recipe.model
    size = REFERENCE_SIZE if recipe.refines else model.image_size
    distance = rng.uniform(*DISTANCES)
    inputs = framed(input_cameras(views, distance, rng), mesh.vertices, views, rng)
    targets = target_cameras(views, distance, rng)
    rgba, depth = render_premultiplied(mesh, inputs, size, views.supersample)
    target_rgba, target_depth = render_premultiplied(
        mesh, targets, views.target_size, views.supersample
    )
    taken = take(rgba, depth, inputs, target_rgba, target_depth, targets, rng, recipe.conditions)
    points = surface_points(mesh.vertices, mesh.faces, SURFACE_POINTS, rng)
    occupancy = occupancy_from_points(points, model.proposal.grid_size, recipe.occupancy_convention)
    rest = (occupancy, points[:KEPT_POINTS], targets, taken.target_rgba, target_depth)
    told = taken.cameras
    if recipe.refines:
        known = None if taken.valid is None else taken.valid > 0
        posed = prepare_views(straight(taken.rgba), told, model.image_size, size, known)
        return compared(assemble(name, posed, posed.foreground, *rest), posed)
    posed = make_views(taken.rgba, told.c2w, told.intrinsics, taken.rgba[..., 3])
    foreground = np.ascontiguousarray(taken.rgba.transpose(0, 3, 1, 2))
    episode = assemble(name, posed, foreground, *rest)
    if taken.valid is None:
        return episode
    return replace(episode, valid=torch.from_numpy(taken.valid))


def straight(rgba: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn premultiplied RGBA [V, S, S, 4] to what a user gives: straight, [V, 4, S, S]."""
    alpha = rgba[..., 3:]
    colors = (rgba[..., :3] / np.maximum(alpha, 1e-6)).clip(0, 1)
    planes = np.concatenate([colors, alpha.clip(0, 1)], axis=-1)
    return np.ascontiguousarray(planes.transpose(0, 3, 1, 2), np.float32)


def compared(episode: Episode, inputs: Views) -> Episode:
    """Add what a refinement compares, and what is known of the inputs."""
    parts = {
        "valid": inputs.valid,
        "reference": inputs.reference,
        "reference_valid": inputs.reference_valid,
    }
    known = {name: torch.from_numpy(part) for name, part in parts.items() if part is not None}
    return replace(episode, **known)


def assemble(
    name: str,
    inputs: Views,
    foreground: NDArray[np.float32],
    occupancy: NDArray[np.float32],
    surface: NDArray[np.float32],
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
        torch.from_numpy(np.ascontiguousarray(surface, np.float32)),
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
    kind = rng.random()
    if kind < config.scattered:
        azimuths = rng.uniform(0, 360, count)
        elevations = np.rad2deg(np.arcsin(rng.uniform(-0.5, 0.9, count)))
    elif kind < config.scattered + config.hemispheres:
        azimuths = rng.uniform(0, 360) + np.arange(count) * GOLDEN_ANGLE
        lowest = rng.uniform(-0.2, 0.3)
        heights = lowest + (0.95 - lowest) * (np.arange(count) + rng.random(count)) / count
        elevations = np.rad2deg(np.arcsin(heights))
    else:
        azimuths = rng.uniform(0, 360) + np.arange(count) * (360 / count)
        azimuths = azimuths + rng.uniform(-7.5, 7.5, count)
        elevations = np.full(count, rng.uniform(5, 30))
    return Cameras.orbit(azimuths, elevations, distance, FOV)


def framed(
    cameras: Cameras,
    vertices: NDArray[np.float32],
    config: ViewConfig,
    rng: np.random.Generator,
) -> Cameras:
    """Give cameras that look at the origin another field of view and aim, by their shares.

    The distance is one from which all vertices [P, 3] are seen, and up to ROOM of it, before the
    cameras look past the centre.
    """
    if happens(rng, config.free_framing):
        fov = float(rng.uniform(*config.fields_of_view))
        c2w = cameras.c2w.copy()
        c2w[:, :3, 3] /= np.linalg.norm(c2w[:, :3, 3], axis=1, keepdims=True)
        c2w[:, :3, 3] *= least_distance(c2w, vertices, fov) * rng.uniform(1, ROOM)
        cameras = Cameras.from_fov(c2w, fov)
    if happens(rng, config.off_centre):
        c2w = cameras.c2w.copy()
        aims = rng.uniform(-PAST_CENTRE, PAST_CENTRE, (len(c2w), 3))
        for pose, aim in zip(c2w, aims, strict=True):
            pose[:3, :3] = looking(pose[:3, 3], aim, pose[:3, 1])
        cameras = Cameras(c2w, cameras.intrinsics)
    return cameras


def looking(
    place: NDArray[np.float64], aim: NDArray[np.float64], up: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the OpenGL axes [3, 3] of a camera at a place that looks at ``aim``."""
    backward = place - aim
    backward = backward / np.linalg.norm(backward)
    right = np.cross(up, backward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(backward, right), backward], axis=1)


def target_cameras(config: ViewConfig, distance: float, rng: np.random.Generator) -> Cameras:
    """Choose target cameras at random: upper and level orbit, top, bottom by their shares."""
    group = rng.choice(4, config.targets, p=np.array(config.target_groups))
    azimuths = rng.uniform(0, 360, config.targets)
    up, level = rng.uniform(5, 30), rng.uniform(-5, 5)
    elevations = np.array([up, level, 90.0, -90.0])[group]
    return Cameras.orbit(azimuths, elevations, distance, FOV)
