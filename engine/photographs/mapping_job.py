"""The child process that holds pycolmap: features, matches, models, undistorted images.

It is a process of its own because pycolmap, imported before Pillow has first written a PNG, makes
each later one hang, and so that its memory and its crashes are not ours. It reads a job, one JSON
object a line, from standard input, and answers with JSON objects, one a line, on standard output.
"""

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH_PHOTOS, BATCH_PAIRS = 4, 12  # between two reports of progress
Answer = Callable[..., None]


def main() -> None:
    """Do the one job of standard input; end at once when the parent does."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what native code prints is no answer

    def answer(**fields: Any) -> None:
        stream.write(json.dumps(fields) + "\n")
        stream.flush()

    try:
        result = JOBS[job.pop("job")](answer=answer, **job)
    except Exception as error:  # pybind11 raises what C++ throws
        answer(error=str(error).splitlines()[0][:200] if str(error) else type(error).__name__)
        return
    answer(result=result)


def extract(
    answer: Answer,
    database: str,
    images: str,
    groups: list[dict[str, Any]],
    masks: str | None,
    features: int,
    peak: float,
    threads: int,
    seed: int,
) -> dict[str, int]:
    """Find SIFT features; photographs that have some in the database are not done again.

    Args:
        answer: Takes the progress.
        database: A database of COLMAP, new or not.
        images: The folder of the photographs.
        groups: Photographs of one camera each: ``names``, and ``focal`` in pixels or null.
        masks: The folder of ``NAME.png``; features outside are left out.
        features: How many at most in a photograph.
        peak: Least contrast of a feature.
        threads: How many.
        seed: Of what is random.

    Returns:
        The number of features of each photograph, by name.
    """
    pycolmap = _pycolmap(seed)
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = threads
    options.sift.max_num_features, options.sift.peak_threshold = features, peak
    total = sum(len(group["names"]) for group in groups)
    done = 0
    for group in groups:
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = "SIMPLE_RADIAL"
        if masks:
            reader.mask_path = masks
        if group["focal"]:
            width, height = group["size"]
            numbers = (group["focal"], width / 2, height / 2, 0.0)
            reader.camera_params = ",".join(map(str, numbers))
        for start in range(0, len(group["names"]), BATCH_PHOTOS):
            names = group["names"][start : start + BATCH_PHOTOS]
            known = _camera_of(pycolmap, database, group["names"])
            if known is not None:  # else each call would make a camera of its own
                reader.existing_camera_id = known
            pycolmap.extract_features(
                database,
                images,
                names,
                pycolmap.CameraMode.SINGLE,
                reader,
                options,
                pycolmap.Device.cpu,
            )
            done += len(names)
            answer(done=done, total=total)
    with pycolmap.Database.open(database) as opened:
        return {
            image.name: opened.num_keypoints_for_image(image.image_id)
            for image in opened.read_all_images()
        }


def strongest(answer: Answer, database: str, count: int, output: str) -> None:
    """Write the descriptors of the largest features, by which pairs are chosen.

    Args:
        answer: Not used.
        database: With features.
        count: How many features of a photograph.
        output: A ``.npz`` of arrays [F, 128] uint8 by name.
    """
    pycolmap = _pycolmap(0)
    arrays = {}
    with pycolmap.Database.open(database) as opened:
        for image in opened.read_all_images():
            keypoints = np.asarray(opened.read_keypoints(image.image_id))
            descriptors = np.asarray(opened.read_descriptors(image.image_id).data)
            if len(keypoints):
                a, b, c, d = (keypoints[:, i] for i in (2, 3, 4, 5))
                largest = np.argsort(-np.abs(a * d - b * c), kind="stable")[:count]
                descriptors = descriptors[largest]
            arrays[image.name] = descriptors.reshape(-1, 128)
    np.savez(output, **arrays)


def match(
    answer: Answer, database: str, pairs: list[list[str]], guided: bool, threads: int, seed: int
) -> list[list[Any]]:
    """Match pairs, and verify them; those in the database are not done again.

    Returns:
        Name, name and number of verified matches, of each pair.
    """
    pycolmap = _pycolmap(seed)
    options, pairing = pycolmap.FeatureMatchingOptions(), pycolmap.ImportedPairingOptions()
    options.num_threads, options.guided_matching = threads, guided
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    listed = Path(database).with_suffix(".pairs")
    for start in range(0, len(pairs), BATCH_PAIRS):
        some = pairs[start : start + BATCH_PAIRS]
        listed.write_text("".join(f"{a} {b}\n" for a, b in some), encoding="utf-8")
        pairing.match_list_path = str(listed)
        pycolmap.match_image_pairs(database, options, pairing, verification, pycolmap.Device.cpu)
        answer(done=start + len(some), total=len(pairs))
    listed.unlink(missing_ok=True)
    with pycolmap.Database.open(database) as opened:
        ids = {image.name: image.image_id for image in opened.read_all_images()}
        names = {value: key for key, value in ids.items()}
        found, numbers = opened.read_two_view_geometry_num_inliers()
        verified = []
        for pair, number in zip(found, numbers, strict=True):
            a, b = pycolmap.pair_id_to_image_pair(pair)
            verified.append([names[a], names[b], int(number)])
        return sorted(verified)


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
    pycolmap = _pycolmap(seed)
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
    pycolmap = _pycolmap(0)
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


def _camera_of(pycolmap: Any, database: str, names: list[str]) -> int | None:
    with pycolmap.Database.open(database) as opened:
        for name in names:
            image = opened.read_image_with_name(name)
            if image is not None:
                return int(image.camera_id)
    return None


def _pycolmap(seed: int) -> Any:
    """Import pycolmap, after Pillow has written a PNG: the other order hangs later ones."""
    from PIL import Image

    blank: NDArray[np.uint8] = np.zeros((1, 1, 3), np.uint8)
    Image.fromarray(blank).save(io.BytesIO(), "PNG")
    import pycolmap  # pyright: ignore[reportMissingImports]

    pycolmap.set_random_seed(seed)
    return pycolmap


def _end_with_parent() -> None:
    sys.stdin.read()  # returns when the parent has closed the pipe, however it ended
    os._exit(1)


JOBS: dict[str, Callable[..., Any]] = {
    "extract": extract,
    "strongest": strongest,
    "match": match,
    "build": build,
    "undistort": undistort,
}

if __name__ == "__main__":
    main()
