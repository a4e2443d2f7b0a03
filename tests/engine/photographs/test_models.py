"""Models that share photographs, joined into one."""

import json

import numpy as np
import pytest
from samples.textured_box import orbit

from geolrm.engine.geometry.similarity import apply, make_similarity, turning
from geolrm.engine.photographs.models import Model, joined, read_models

POSES = orbit(12) @ np.diag([1, -1, -1, 1.0])  # OpenCV
POINTS = np.random.default_rng(0).uniform(-1, 1, (20, 3))


def model(indices, similarity=None, noise=0.0):
    matrix = np.eye(4) if similarity is None else similarity
    scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
    rng = np.random.default_rng(1)
    w2c = []
    for index in indices:
        pose = POSES[index].copy()
        pose[:3, 3] = apply(matrix, pose[None, :3, 3])[0] + rng.normal(0, noise or 1e-12, 3)
        pose[:3, :3] = matrix[:3, :3] / scale @ pose[:3, :3]
        w2c.append(np.linalg.inv(pose)[:3])
    camera = {"model": "PINHOLE", "width": 4, "height": 3, "params": [1, 1, 2, 1]}
    count = len(indices)
    return Model(
        tuple(f"{i:02d}.png" for i in indices), np.array(w2c), (camera,) * count, (9,) * count,
        apply(matrix, POINTS), np.zeros((20, 3), np.uint8), 0.5,
    )  # fmt: skip


SIMILARITY = make_similarity(
    2.5, turning(np.array([0, 0, 1.0]), np.array([0.6, 0.0, 0.8])), np.array([3.0, -1.0, 2.0])
)


def test_a_joined_model_lies_where_the_largest_does():
    base, other = model(range(8)), model(range(5, 12), SIMILARITY)
    found, count = joined([base, other])
    assert count == 1 and len(found) == 12
    whole = model(range(12))
    np.testing.assert_allclose(found.w2c, whole.w2c, atol=1e-6)
    np.testing.assert_allclose(found.xyz[20:], POINTS, atol=1e-6)
    np.testing.assert_allclose(found.centres, POSES[:, :3, 3], atol=1e-6)


def test_models_are_joined_through_others():
    chain = [model(range(6)), model(range(7, 12), SIMILARITY), model(range(3, 10), SIMILARITY)]
    found, count = joined(chain)
    assert count == 2 and set(found.names) == {f"{i:02d}.png" for i in range(12)}


@pytest.mark.parametrize(
    "other", [model(range(6, 12), SIMILARITY), model(range(4, 12), SIMILARITY, noise=2.0)],
    ids=["two in common", "common ones disagree"],
)  # fmt: skip
def test_models_that_do_not_fit_stay_apart(other):
    found, count = joined([model(range(8)), other])
    assert count == 0 and len(found) == 8


def test_models_are_read_as_they_were_written(tmp_path):
    one = model(range(3))
    views = [
        {"name": name, "w2c": pose.tolist(), "points": 9, "camera": one.cameras[0]}
        for name, pose in zip(one.names, one.w2c, strict=True)
    ]
    (tmp_path / "0.json").write_text(json.dumps({"views": views, "reprojection_error": 0.5}))
    np.savez(tmp_path / "0.npz", xyz=one.xyz, rgb=one.rgb)
    (found,) = read_models(tmp_path, 1)
    np.testing.assert_array_equal(found.w2c, one.w2c)
    assert found.names == one.names and found.observed == (9, 9, 9) and found.error == 0.5
