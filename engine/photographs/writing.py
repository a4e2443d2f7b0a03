"""A posed capture on disk, as nerfstudio and geolrm read it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture

TRANSFORMS, POINTS, REPORT = "transforms.json", "sparse_points.ply", "report.json"


def write_capture(
    folder: Path,
    capture: Capture,
    colours: NDArray[np.uint8],
    report: dict[str, Any],
    stems: Sequence[str],
) -> None:
    """Write ``transforms.json``, images, sparse points and report into an empty folder.

    Args:
        folder: Empty.
        capture: Fitted; its images become PNG, with alpha where they have it.
        colours: [P, 3] of its points.
        report: Goes to ``report.json``.
        stems: V, of the images' files.
    """
    from PIL import Image

    (folder / "images").mkdir()
    frames = []
    for image, stem, c2w, matrix in zip(
        capture.images, stems, capture.cameras.c2w, capture.cameras.intrinsics, strict=True
    ):
        height, width = image.shape[:2]
        name = f"images/{stem}.png"
        Image.fromarray(image).save(folder / name, compress_level=4)
        frames.append(
            {
                "file_path": name,
                "transform_matrix": c2w.tolist(),
                "fl_x": float(matrix[0, 0] * width),
                "fl_y": float(matrix[1, 1] * height),
                "cx": float(matrix[0, 2] * width),
                "cy": float(matrix[1, 2] * height),
                "w": width,
                "h": height,
            }
        )
    content = {
        "camera_model": "PINHOLE",
        "ply_file_path": POINTS,
        "frames": frames,
        "object_to_world": capture.object_to_world.tolist(),  # the way back to COLMAP's frame
    }
    (folder / TRANSFORMS).write_text(json.dumps(content, indent=1), encoding="utf-8")
    assert capture.points is not None
    (folder / POINTS).write_bytes(encode_points(capture.points, colours))
    (folder / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")


def encode_points(points: NDArray[np.float64], colours: NDArray[np.uint8]) -> bytes:
    """Encode points [P, 3] with colours [P, 3] as binary PLY."""
    names = "".join(f"property float {axis}\n" for axis in "xyz")
    names += "".join(f"property uchar {channel}\n" for channel in ("red", "green", "blue"))
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{names}end_header\n"
    )
    rows = np.zeros(len(points), [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = points, colours
    return header.encode() + rows.tobytes()
