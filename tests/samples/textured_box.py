"""Photographs of a textured box, ray cast, whose poses are known; COLMAP poses them in seconds."""

import functools

import numpy as np
from PIL import Image, ImageFilter

HALF = np.array([0.5, 0.35, 0.25])  # of the box
TEXTURE = 512  # px a face


@functools.cache
def textures(seed=0):
    """Faces [6, T, T, 3] of blobs of several sizes."""
    rng = np.random.default_rng(seed)
    faces = []
    for _ in range(6):
        face = np.zeros((TEXTURE, TEXTURE, 3))
        for size in (16, 48, 128):
            noise = rng.integers(0, 255, (size, size, 3), np.uint8)
            face += np.asarray(Image.fromarray(noise).resize((TEXTURE, TEXTURE), 3), np.float64)
        faces.append(face / 3)
    return np.clip(np.stack(faces) * 1.6 - 80, 0, 255)


def look_at(origin):
    """A camera-to-world matrix, OpenGL, z up, that looks at the origin of the world."""
    back = origin / np.linalg.norm(origin)
    right = np.cross([0, 0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.column_stack([right, np.cross(back, right), back, origin])
    return pose


def orbit(count, degrees=360.0, distance=2.2, elevation=25.0):
    """Poses [V, 4, 4] along a ring."""
    angles = np.radians(np.arange(count) * degrees / count)
    up = np.radians(elevation)
    return np.stack(
        [
            look_at(
                distance * np.array([np.cos(a) * np.cos(up), np.sin(a) * np.cos(up), np.sin(up)])
            )
            for a in angles
        ]
    )


def render(c2w, width=480, height=360, focal=520.0, faces=None):
    """An RGBA photograph [H, W, 4] by a pinhole camera."""
    faces = textures() if faces is None else faces
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(u - width / 2) / focal, -(v - height / 2) / focal, -np.ones_like(u)], axis=-1)
    rays, origin = rays @ c2w[:3, :3].T, c2w[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        near = (-np.sign(rays) * HALF - origin) / rays
        far = (np.sign(rays) * HALF - origin) / rays
    enter, leave = near.max(axis=-1), far.min(axis=-1)
    hit = enter < leave
    axis = near.argmax(axis=-1)
    points = (origin + enter[..., None] * rays) / HALF / 2 + 0.5
    image = np.zeros((height, width, 4), np.uint8)
    for a in range(3):
        others = [i for i in range(3) if i != a]
        for side in (0, 1):
            here = hit & (axis == a) & ((points[..., a] > 0.5) == bool(side))
            place = np.clip(points[here][:, others] * TEXTURE, 0, TEXTURE - 1).astype(int)
            image[here, :3] = faces[2 * a + side][place[:, 0], place[:, 1]]
    image[hit, 3] = 255
    return image


def write_photographs(folder, poses, *, alpha=False, suffix=".png", film=None, **options):
    """Write a photograph of each pose, on black or with alpha; returns their paths.

    ``film``: the focal length in mm for 35 mm film, which EXIF then tells.
    """
    exif = Image.Exif()
    if film:
        exif.get_ifd(0x8769)[0xA405] = film
    folder.mkdir(parents=True, exist_ok=True)
    faces, paths = textures(), []
    for index, pose in enumerate(poses):
        image = Image.fromarray(render(pose, faces=faces, **options))
        image = image.filter(ImageFilter.GaussianBlur(0.6))
        paths.append(folder / f"{index:02d}{suffix}")
        (image if alpha else image.convert("RGB")).save(paths[-1], exif=exif)
    return paths
