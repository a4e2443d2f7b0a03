"""Captures written as nerfstudio and others read them."""

import json
import os
from pathlib import Path

from geolrm.engine.captures.capture import Capture
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import atomic_folder

LONGEST_STEM = 200  # bytes


def check_capture_folder(folder: str | Path) -> None:
    """Refuse a place where a capture would replace something else.

    Raises:
        InputError: It is a file, or a folder that holds anything.
    """
    path = Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{str(path)!r} already exists; name a new folder for the capture")


def write_capture(capture: Capture, folder: str | Path) -> None:
    """Write a new folder with ``transforms.json`` and ``images/``, in the object frame.

    Images are PNG with their alpha; ``load_capture`` reads the same cameras again.

    Raises:
        InputError: The folder holds something already.
    """
    from PIL import Image

    check_capture_folder(folder)
    frames = []
    with atomic_folder(Path(folder)) as temporary:
        (temporary / "images").mkdir(parents=True)
        for index, (image, name) in enumerate(zip(capture.images, capture.names, strict=True)):
            height, width = image.shape[:2]
            path = f"images/{index:04d}_{_short(Path(name).stem)}.png"
            Image.fromarray(image).save(temporary / path)
            intrinsics = capture.cameras.intrinsics[index]
            frames.append(
                {
                    "file_path": path,
                    "w": width,
                    "h": height,
                    "fl_x": float(intrinsics[0, 0]) * width,
                    "fl_y": float(intrinsics[1, 1]) * height,
                    "cx": float(intrinsics[0, 2]) * width,
                    "cy": float(intrinsics[1, 2]) * height,
                    "transform_matrix": capture.cameras.c2w[index].tolist(),
                }
            )
        text = json.dumps({"camera_model": "PINHOLE", "frames": frames}, indent=1)
        (temporary / "transforms.json").write_text(text, encoding="utf-8")


def _short(name: str) -> str:
    """Cut a name to what file systems take, with what is put before and after it."""
    return os.fsdecode(os.fsencode(name)[:LONGEST_STEM])
