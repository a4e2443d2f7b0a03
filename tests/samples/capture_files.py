"""Writes the same posed pictures of a box in every form that captures come in."""

import json

import numpy as np
from PIL import Image

from geolrm import Cameras
from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.engine.geometry.similarity import apply, make_similarity, move_poses, turning
from samples.known_shapes import box_splats, box_surface, photograph

SIZE, FOV, VIEWS = 64, 50.0, 12


def box_cameras(views=VIEWS):
    azimuths = np.arange(views) * (360 / views)
    return Cameras.orbit(azimuths, np.where(np.arange(views) % 2, 30.0, 5.0), 1.8, FOV)


def box_photos(cameras=None, size=SIZE):
    """V pictures [S, S, 4] uint8 of the coloured box, straight alpha."""
    return photograph(box_splats(), cameras or box_cameras(), size)


def on_white(images):
    alpha = images[..., 3:] / 255
    return np.rint(images[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def write_images(folder, images, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index}{suffix}" for index in range(len(images))]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name)
    return names


def write_transforms(folder, images, cameras, name="transforms.json", **fields):
    names = write_images(folder / "rgb", images)
    frames = [
        {"file_path": f"rgb/{name}", "transform_matrix": pose.tolist()}
        for name, pose in zip(names, cameras.c2w, strict=True)
    ]
    content = {"camera_angle_x": np.deg2rad(FOV), "frames": frames, **fields}
    (folder / name).write_text(json.dumps(content))
    return folder


def write_poses(folder, images, cameras, intrinsics=True):
    write_images(folder, images)
    np.save(folder / "poses.npy", cameras.c2w)
    if intrinsics:
        np.save(folder / "intrinsics.npy", cameras.intrinsics)
    return folder


def write_gobjaverse_views(folder, images, cameras, order=None):
    """View i goes to index order[i]; without depth."""
    for view, index in enumerate(range(len(images)) if order is None else order):
        stem = folder / f"{index:05d}" / f"{index:05d}"
        stem.parent.mkdir(parents=True)
        Image.fromarray(images[view]).save(stem.with_suffix(".png"))
        pose = cameras.c2w[view] @ FLIP_YZ
        axes = {key: pose[:3, column].tolist() for column, key in enumerate("xyz")}
        field = float(2 * np.arctan(0.5 / cameras.intrinsics[view, 0, 0]))
        stem.with_suffix(".json").write_text(
            json.dumps({**axes, "origin": pose[:3, 3].tolist(), "x_fov": field})
        )
    return folder


def write_clip(path, frames, codec="libx264", **options):
    """A video of opaque frames [V, H, W, 3]."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=7)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "10", **options}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def photo_world():
    """A similarity from the object frame to one such as structure from motion ends up in."""
    up = np.array([0.2, -0.9, 0.3])
    rotation = turning(np.array([0.0, 0.0, 1.0]), up / np.linalg.norm(up))
    return make_similarity(3.7, rotation, np.array([5.0, -2.0, 11.0]))


def write_colmap_text(
    folder, images, cameras, *, model="PINHOLE", distortion=(), background=300, world=None
):
    """A project with ``images`` and ``sparse/0``, in the frame of ``world``."""
    world = photo_world() if world is None else world
    height, width = images[0].shape[:2]
    names = write_images(folder / "images", images)
    sparse = folder / "sparse" / "0"
    sparse.mkdir(parents=True)
    (fx, _, cx), (_, fy, cy), _ = cameras.intrinsics[0]
    focal = [fx * width] if model.startswith(("SIMPLE", "RADIAL")) else [fx * width, fy * height]
    numbers = [*focal, cx * width, cy * height, *distortion]
    (sparse / "cameras.txt").write_text(
        f"# a comment\n7 {model} {width} {height} {' '.join(map(repr, map(float, numbers)))}\n"
    )
    w2c = np.linalg.inv(move_poses(cameras.c2w, world) @ FLIP_YZ)
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME"]
    for index in reversed(range(len(names))):
        pose = [*quaternion_of(w2c[index, :3, :3]), *w2c[index, :3, 3]]
        lines += [f"{index + 1} {' '.join(map(repr, map(float, pose)))} 7 {names[index]}", ""]
    (sparse / "images.txt").write_text("\n".join(lines) + "\n")
    rng = np.random.default_rng(3)
    points = np.concatenate([box_surface(500)[0], rng.uniform(-20, 20, (background, 3))])
    (sparse / "points3D.txt").write_text(
        "\n".join(
            f"{index} {x!r} {y!r} {z!r} 1 2 3 0.5"
            for index, (x, y, z) in enumerate(apply(world, points).tolist())
        )
        + "\n"
    )
    return folder


def write_llff(folder, images, cameras, world=None):
    """Rows as imgs2poses.py writes them: from right, up, backwards to down, right, backwards."""
    write_images(folder / "images", images)
    poses = move_poses(cameras.c2w, photo_world() if world is None else world)[:, :3]
    right, up, back, place = (poses[:, :, k] for k in range(4))
    height, width = images[0].shape[:2]
    hwf = np.broadcast_to([height, width, cameras.intrinsics[0, 0, 0] * width], right.shape)
    matrices = np.stack([-up, right, back, place, hwf], axis=2)
    rows = np.concatenate([matrices.reshape(-1, 15), np.full((len(poses), 2), 1.0)], axis=1)
    np.save(folder / "poses_bounds.npy", rows)
    return folder


def predicted(images, cameras, world=None):
    """What a network that sees it all would write of images [V, S, S, 3|4]: Depth Anything 3's.

    The depth is that of the box, exact; outside of it there is some that is not to be trusted.
    """
    world = photo_world() if world is None else world
    scale = np.cbrt(np.linalg.det(world[:3, :3]))
    height, width = images[0].shape[:2]
    w2c = np.linalg.inv(move_poses(cameras.c2w, world) @ FLIP_YZ)
    intrinsics = cameras.intrinsics * [[width], [height], [1]]
    depth = np.full((len(images), height, width), 50, np.float32)
    conf = np.ones(depth.shape, np.float32)
    corners = np.abs(box_surface(500)[0]).max(axis=0)
    v, u = np.mgrid[:height, :width]
    pixels = np.stack([u + 0.5, v + 0.5, np.ones(u.shape)], axis=-1)
    for view, pose in enumerate(cameras.c2w @ FLIP_YZ):
        rays = pixels @ np.linalg.inv(intrinsics[view]).T @ pose[:3, :3].T
        with np.errstate(divide="ignore"):
            ends = np.stack([(sign * corners - pose[:3, 3]) / rays for sign in (-1, 1)])
        first, last = ends.min(axis=0).max(axis=-1), ends.max(axis=0).min(axis=-1)
        hit = first < last
        depth[view][hit], conf[view][hit] = scale * first[hit], 2
    shown = on_white(images) if images[0].shape[2] == 4 else images
    return {
        "extrinsics": w2c[:, :3].astype(np.float32), "intrinsics": intrinsics.astype(np.float32),
        "image": np.asarray(shown), "depth": depth, "conf": conf,
    }  # fmt: skip


def write_predictions(folder, images, cameras, name="exports/npz/results.npz", without=(), **other):
    """As Depth Anything 3 exports to a folder that has the photographs in ``images``."""
    write_images(folder / "images", images)
    stored = predicted(images, cameras) | other
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    np.savez(folder / name, **{key: a for key, a in stored.items() if key not in without})
    return folder


def quaternion_of(rotation):
    """[4] wxyz, by way of the eigenvector of the rotation's 4 x 4 form."""
    m = rotation
    form = np.array(
        [
            [m[0, 0] + m[1, 1] + m[2, 2], 0, 0, 0],
            [m[2, 1] - m[1, 2], m[0, 0] - m[1, 1] - m[2, 2], 0, 0],
            [m[0, 2] - m[2, 0], m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], 0],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1]],
        ]
    )
    return np.linalg.eigh(form, UPLO="L")[1][:, -1]
