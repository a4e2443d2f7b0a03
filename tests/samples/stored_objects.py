"""Writes training objects the way their sources store them."""

import json

import numpy as np
from PIL import Image

from geolrm.engine.geometry.cameras import FLIP_YZ

UNIT = 1e-4


def write_capture(folder, posed, *, points=True):
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    frames = []
    for index, (image, depth) in enumerate(zip(posed.rgba, posed.depth, strict=True)):
        names = [f"{kind}/{index:03d}.png" for kind in ("rgb", "depth")]
        Image.fromarray(image).save(folder / names[0])
        Image.fromarray(np.round(depth / UNIT).astype(np.uint16)).save(folder / names[1])
        frames.append(
            {
                "file_path": names[0],
                "depth_file_path": names[1],
                "transform_matrix": posed.cameras.c2w[index].tolist(),
            }
        )
    focal = posed.cameras.intrinsics[0, 0, 0] * posed.size
    content = {
        "camera_model": "OPENCV",
        "fl_x": focal,
        "fl_y": focal,
        "w": posed.size,
        "h": posed.size,
        "depth_unit_scale_factor": UNIT,
        "frames": frames,
    }
    (folder / "transforms.json").write_text(json.dumps(content))
    if points:
        np.savez_compressed(folder / "points.npz", points=posed.points.astype(np.float16))
    return folder


def change_json(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def write_gobjaverse(folder, posed, order, *, dtype=np.float32):
    """View i of the object goes to index order[i]."""
    import OpenEXR

    for view, index in enumerate(order):
        stem = folder / f"{index:05d}" / f"{index:05d}"
        stem.parent.mkdir(parents=True)
        Image.fromarray(posed.rgba[view]).save(stem.with_suffix(".png"))
        pose = posed.cameras.c2w[view] @ FLIP_YZ  # OpenCV axes
        content = {
            "x": pose[:3, 0].tolist(),
            "y": pose[:3, 1].tolist(),
            "z": pose[:3, 2].tolist(),
            "origin": pose[:3, 3].tolist(),
            "x_fov": 2 * np.arctan(0.5 / posed.cameras.intrinsics[view, 0, 0]),
        }
        stem.with_suffix(".json").write_text(json.dumps(content))
        normal = np.zeros_like(posed.depth[view])
        channels = {name: normal.astype(dtype) for name in "RGB"}
        channels["A"] = posed.depth[view].astype(dtype)
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, channels).write(str(stem.with_name(f"{stem.name}_nd.exr")))
    return folder
