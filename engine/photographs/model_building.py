"""Models and undistorted images, in the child process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from geolrm.engine.system.pycolmap_loading import load_pycolmap

Answer = Callable[..., None]


def build(
    answer: Answer,
    database: str,
    images: str,
    output: str,
    mapper: str,
    photographs: int,
    threads: int,
    seed: int,
) -> int:
    """Build models, largest first, each ``OUTPUT/N.json`` and its points ``OUTPUT/N.npz``.

    Args:
        answer: Takes the progress.
        database: With matches.
        images: The folder of the photographs, for the points' colours.
        output: An empty folder.
        mapper: ``incremental`` or ``global``.
        photographs: How many there are.
        threads: How many.
        seed: Of what is random.

    Returns:
        How many models there are.
    """
    pycolmap = load_pycolmap(seed)
    if mapper == "global":
        options = pycolmap.GlobalPipelineOptions()
        options.num_threads, options.random_seed = threads, seed
        found = pycolmap.global_mapping(database, images, output, options)
    else:
        options = pycolmap.IncrementalPipelineOptions()
        options.num_threads, options.random_seed = threads, seed
        options.min_model_size = 3
        options.mapper.abs_pose_min_num_inliers = 15
        options.mapper.abs_pose_min_inlier_ratio = 0.15
        options.max_num_models = 10
        registered = iter(range(3, 1 << 30))

        def advance() -> None:
            answer(done=min(next(registered), photographs), total=photographs)

        found = pycolmap.incremental_mapping(
            database, images, output, options, "", lambda: None, advance
        )
    models = sorted(
        found.values(), key=lambda model: (-model.num_reg_images(), -len(model.points3D))
    )
    for number, model in enumerate(models):
        _write_model(model, Path(output) / str(number))
    return len(models)


def undistort(answer: Answer, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write images, RGB or RGBA, as a pinhole camera would have seen them.

    Args:
        answer: Takes the progress.
        images: Each with ``source``, ``output`` (.png) and ``camera``: model, width, height and
            parameters.

    Returns:
        The pinhole camera of each: width, height, fx, fy, cx, cy.
    """
    pycolmap = load_pycolmap(0)
    from PIL import Image

    cameras = []
    for number, each in enumerate(images):
        with Image.open(each["source"]) as opened:
            alpha = "A" in opened.getbands()
            pixels = np.asarray(opened.convert("RGBA" if alpha else "RGB"))
        camera = pycolmap.Camera(**each["camera"])
        layers = [pixels[..., :3], *([pixels[..., 3]] if alpha else [])]
        turned, target = [], camera
        for layer in layers:
            bitmap = pycolmap.Bitmap.from_array(np.ascontiguousarray(layer))
            straight, target = pycolmap.undistort_image(
                pycolmap.UndistortCameraOptions(), bitmap, camera
            )
            turned.append(np.asarray(straight.to_array(), dtype=np.uint8))
        Image.fromarray(np.dstack(turned)).save(each["output"], compress_level=1)
        fx, fy = target.focal_length_x, target.focal_length_y
        cx, cy = target.principal_point_x, target.principal_point_y
        cameras.append(
            {"width": target.width, "height": target.height, "focal": [fx, fy], "centre": [cx, cy]}
        )
        answer(done=number + 1, total=len(images))
    return cameras


def _write_model(model: Any, path: Path) -> None:
    views = []
    for image in sorted(
        (model.images[key] for key in model.reg_image_ids()), key=lambda each: each.name
    ):
        camera = model.cameras[image.camera_id]
        views.append(
            {
                "name": image.name,
                "w2c": np.asarray(image.cam_from_world().matrix()).tolist(),
                "points": image.num_points3D,
                "camera": {
                    "model": camera.model.name,
                    "width": camera.width,
                    "height": camera.height,
                    "params": np.asarray(camera.params).tolist(),
                },
            }
        )
    points = list(model.points3D.values())
    np.savez(
        path.with_suffix(".npz"),
        xyz=np.array([point.xyz for point in points], np.float64).reshape(-1, 3),
        rgb=np.array([point.color for point in points], np.uint8).reshape(-1, 3),
    )
    error = float(model.compute_mean_reprojection_error()) if points else 0.0
    content = {"views": views, "reprojection_error": error}
    path.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
