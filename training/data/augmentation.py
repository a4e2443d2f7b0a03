"""Random variations of a mesh: colours, pose, proportions, company."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.training.data.meshes import Mesh, compose, normalised, rotation
from geolrm.training.data.shapes import procedural_mesh

LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """The probability of each kind of variation; each is drawn on its own, 0 leaves it out."""

    procedural: float = 0.15  # a procedural shape instead of the mesh given
    color: float = 0.5  # hue, saturation, contrast and brightness of the textures
    permutation: float = 0.1  # of red, green and blue
    mirror: float = 0.5
    quarter_turn: float = 0.1  # on its side or head, about x or y
    tilt: float = 0.3  # up to 15 degrees about a level axis
    stretch: float = 0.5  # along x, y and z apart, each by 0.75 to 1.33
    spin: float = 1.0  # about z
    company: float = 0.15  # a second object beside or on top
    procedural_company: float = 0.3  # where there is a second object: it is a procedural shape
    shrink: float = 0.2  # down to 0.8 of the unit cube; the other kinds fill it

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise InputError(f"{field.name} is {value!r}; it must be a probability, 0 to 1")


def augment(
    mesh: Mesh,
    rng: np.random.Generator,
    others: Callable[[], Mesh] | None = None,
    config: AugmentationConfig | None = None,
) -> Mesh:
    """Return a variation in the cube: box centred, longest side 1 unless shrunk.

    Args:
        mesh: In any frame with z up; it is not changed.
        rng: All chance comes from it.
        others: Gives a mesh for company; None: company is procedural.
        config: None: the defaults.
    """
    config = config or AugmentationConfig()
    mesh = procedural_mesh(rng) if rng.random() < config.procedural else mesh
    mesh = normalised(_varied(mesh, rng, config))
    if rng.random() < config.company:
        if others is None or rng.random() < config.procedural_company:
            other = procedural_mesh(rng)
        else:
            other = others()
        mesh = normalised(_together(mesh, normalised(_varied(other, rng, config)), rng))
    if rng.random() < config.shrink:
        mesh = replace(mesh, vertices=mesh.vertices * np.float32(rng.uniform(0.8, 1)))
    return mesh


def recolored(mesh: Mesh, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> Mesh:
    """Recolour a mesh: every texel c, in [0, 1], becomes matrix @ c + offset, clipped."""
    textures = []
    for texture in mesh.textures:
        texels = texture.reshape(-1, 3).astype(np.float32) @ matrix.T.astype(np.float32)
        texels += (255 * offset + 0.5).astype(np.float32)
        np.clip(texels, 0, 255, out=texels)
        textures.append(texels.astype(np.uint8).reshape(texture.shape))
    return replace(mesh, textures=tuple(textures))


def draw_recoloring(
    rng: np.random.Generator, config: AugmentationConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw a random change of colours in [0, 1]: matrix [3, 3] and offset [3]."""
    matrix, offset = np.eye(3), np.zeros(3)
    if rng.random() < config.color:
        matrix, offset = _color_shift(rng)
    if rng.random() < config.permutation:
        order = rng.permutation(3)
        matrix, offset = matrix[order], offset[order]
    return matrix, offset


def _varied(mesh: Mesh, rng: np.random.Generator, config: AugmentationConfig) -> Mesh:
    """Vary what concerns one object alone: colours, mirroring, turns and stretching."""
    matrix, offset = draw_recoloring(rng, config)
    if not np.array_equal(matrix, np.eye(3)):
        mesh = recolored(mesh, matrix, offset)
    frame = np.eye(3)
    if rng.random() < config.mirror:
        frame = np.diag([-1.0, 1.0, 1.0])
    if rng.random() < config.quarter_turn:
        frame = rotation(int(rng.integers(2)), 90.0 * int(rng.integers(1, 4))) @ frame
    if rng.random() < config.tilt:
        heading = rotation(2, rng.uniform(0, 360))
        frame = heading @ rotation(0, rng.uniform(-15, 15)) @ heading.T @ frame
    if rng.random() < config.stretch:
        frame = np.diag(np.exp(rng.uniform(-1, 1, 3) * np.log(4 / 3))) @ frame
    if rng.random() < config.spin:
        frame = rotation(2, rng.uniform(0, 360)) @ frame
    faces = mesh.faces if np.linalg.det(frame) > 0 else mesh.faces[:, ::-1]  # outward stays outward
    vertices = (mesh.vertices @ frame.T).astype(np.float32)
    return replace(mesh, vertices=vertices, faces=np.ascontiguousarray(faces))


def _color_shift(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn the hue about grey; change saturation, contrast and brightness."""
    grey = np.ones(3) / 3**0.5
    angle = np.deg2rad(rng.choice([rng.normal(0, 15), rng.uniform(-180, 180)]))
    cross = np.cross(np.eye(3), grey).T
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross
    turn += (1 - np.cos(angle)) * np.outer(grey, grey)
    saturation = rng.uniform(0.4, 1.5)
    matrix = saturation * turn + (1 - saturation) * np.outer(np.ones(3), LUMA)
    contrast, brightness = rng.uniform(0.7, 1.25), rng.uniform(-0.12, 0.12)
    return contrast * matrix, np.full(3, brightness + 0.5 * (1 - contrast))


def _together(mesh: Mesh, other: Mesh, rng: np.random.Generator) -> Mesh:
    """Put another object, of about the same size, beside the first, or on top."""
    points = mesh.vertices
    others = other.vertices * np.float32(rng.uniform(0.4, 1.1))
    shift = np.zeros(3)
    if rng.random() < 0.3:
        shift[:2] = rng.uniform(-0.15, 0.15, 2)
        shift[2] = points[:, 2].max() - others[:, 2].min() + rng.uniform(-0.02, 0.02)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        toward = np.array([np.cos(angle), np.sin(angle), 0])
        apart = (points @ toward).max() - (others @ toward).min() + rng.uniform(-0.05, 0.15)
        shift = apart * toward
        shift[2] = points[:, 2].min() - others[:, 2].min()
    return compose([mesh, replace(other, vertices=(others + shift).astype(np.float32))])
