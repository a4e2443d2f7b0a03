"""Captures with a known shape, laid out as the evaluation needs them."""

import json

import numpy as np
from PIL import Image

from geolrm import Cameras, Gaussians

RADIUS, FOV, SIZE = 1.8, 50.0, 48
HALF_SIDES = np.array([0.5, 0.3, 0.2])
FACE_COLORS = np.array([[0.9, 0.1, 0.1], [0.1, 0.2, 0.9], [0.1, 0.7, 0.2],
                        [0.9, 0.8, 0.1], [0.7, 0.2, 0.8], [0.2, 0.8, 0.8]])  # fmt: skip


def box_surface(count=12_000, seed=0):
    """Points [N, 3] on a box, and the face [N] of each: 2 axis + (0 below, 1 above)."""
    rng = np.random.default_rng(seed)
    areas = np.repeat(HALF_SIDES.prod() / HALF_SIDES, 2)
    faces = rng.choice(6, count, p=areas / areas.sum())
    points = rng.uniform(-1, 1, (count, 3)) * HALF_SIDES
    rows, axes = np.arange(count), faces // 2
    points[rows, axes] = np.where(faces % 2, HALF_SIDES[axes], -HALF_SIDES[axes])
    return points, faces


def ball_surface(count=8_000, radius=0.4, seed=0):
    points = np.random.default_rng(seed).standard_normal((count, 3))
    return radius * points / np.linalg.norm(points, axis=1, keepdims=True)


def make_splats(points, colors, scale=0.008):
    count = len(points)
    return Gaussians(
        means=points,
        opacities=np.full(count, 0.95),
        scales=np.full((count, 3), scale),
        quats=np.tile([1.0, 0, 0, 0], (count, 1)),
        colors=colors,
    )


def box_splats():
    points, faces = box_surface()
    return make_splats(points, FACE_COLORS[faces])


def protocol_cameras():
    azimuths = [*range(0, 360, 15), *range(0, 360, 30), -90, -90]
    elevations = [20] * 24 + [0] * 12 + [90, -90]
    return Cameras.orbit(azimuths, elevations, RADIUS, FOV)


def photograph(splats, cameras, size=SIZE):
    """V pictures [S, S, 4] uint8 with straight alpha."""
    drawn = splats.render(cameras, (size, size), background=(0, 0, 0))
    alpha = drawn.alpha[..., None]
    straight = np.where(alpha > 0, drawn.rgb / np.maximum(alpha, 1e-6), 0)
    return np.rint(np.concatenate([straight, alpha], -1).clip(0, 1) * 255).astype(np.uint8)


def write_capture(folder, splats, points, size=SIZE):
    cameras = protocol_cameras()
    (folder / "rgb").mkdir(parents=True)
    groups = ["orbit_up"] * 24 + ["orbit_level"] * 12 + ["top", "bottom"]
    frames = []
    for index, image in enumerate(photograph(splats, cameras, size)):
        Image.fromarray(image).save(folder / "rgb" / f"{index:03d}.png")
        frames.append({
            "file_path": f"rgb/{index:03d}.png",
            "group": groups[index],
            "transform_matrix": cameras.c2w[index].tolist(),
        })  # fmt: skip
    content = {"camera_angle_x": np.deg2rad(FOV), "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))
    write_points(folder, points=points.astype(np.float16), visible=np.ones(len(points), bool))
    return folder


def write_points(folder, **arrays):
    np.savez_compressed(folder / "points.npz", **arrays)
