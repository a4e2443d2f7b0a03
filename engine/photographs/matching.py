"""Features and matches, in the child process: what is in the database is not done again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from geolrm.engine.system.pycolmap_loading import load_pycolmap

BATCH_PHOTOS, BATCH_PAIRS, BATCH_GUIDED = 4, 24, 8  # between two reports of progress
Answer = Callable[..., None]


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
    pycolmap = load_pycolmap(seed)
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
    pycolmap = load_pycolmap(0)
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
    pycolmap = load_pycolmap(seed)
    options, pairing = pycolmap.FeatureMatchingOptions(), pycolmap.ImportedPairingOptions()
    options.num_threads, options.guided_matching = threads, guided
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    listed = Path(database).with_suffix(".pairs")
    batch = BATCH_GUIDED if guided else BATCH_PAIRS
    for start in range(0, len(pairs), batch):
        some = pairs[start : start + batch]
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
            # By name: numbers of images depend on which thread was first.
            verified.append([*sorted((names[a], names[b])), int(number)])
        return sorted(verified)


def forget(answer: Answer, database: str, pairs: list[list[str]]) -> None:
    """Remove the matches of pairs, so that they are matched anew, in another way.

    Args:
        answer: Not used.
        database: With features.
        pairs: Names of two photographs each; those never matched change nothing.
    """
    pycolmap = load_pycolmap(0)
    with pycolmap.Database.open(database) as opened:
        ids = {image.name: image.image_id for image in opened.read_all_images()}
        for first, second in pairs:
            opened.delete_matches(ids[first], ids[second])
            opened.delete_two_view_geometry(ids[first], ids[second])


def _camera_of(pycolmap: Any, database: str, names: list[str]) -> int | None:
    with pycolmap.Database.open(database) as opened:
        for name in names:
            image = opened.read_image_with_name(name)
            if image is not None:
                return int(image.camera_id)
    return None
