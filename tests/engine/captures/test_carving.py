"""Carving by blocks gives what carving every voxel gives, to the bit."""

import numpy as np
import pytest
from samples.capture_files import box_cameras, box_photos

from geolrm.engine.captures.carving import BLOCK, Carver, VoxelCube
from geolrm.engine.views.silhouettes import Silhouette, carve, make_silhouette


@pytest.fixture(scope="module")
def views():
    cameras = box_cameras()
    cameras = zip(cameras.c2w, cameras.intrinsics, strict=True)
    return [make_silhouette(i, *c, 64) for i, c in zip(box_photos(), cameras, strict=True)]


def assert_as_each_voxel(views, cube, tolerated=0):
    """The reference is slow: it projects every voxel into every view."""
    points = cube.points()
    inside, shown = carve(views, points, tolerated)
    kept, counts = Carver(views).carve(cube, tolerated)
    np.testing.assert_array_equal(kept, points[inside])
    np.testing.assert_array_equal(counts, shown[inside])
    return len(kept)


@pytest.mark.parametrize("tolerated", [0, 1, 3])
@pytest.mark.parametrize(
    ("centre", "radius"),
    [
        ((0.013, -0.02, 0.03), 0.6),  # around the box
        ((0.3, 0.2, 0.1), 1.1),  # partly beside the images
        ((0.0, 0.0, 0.0), 4.0),  # cameras are in it, and voxels behind them
        ((9.0, 0.0, 0.0), 1.0),  # no view shows it
    ],
)
def test_blocks_are_as_their_voxels(views, centre, radius, tolerated):
    assert_as_each_voxel(views, VoxelCube(np.array(centre), radius, 32), tolerated)


def test_most_of_a_cube_around_an_object_is_not_looked_at_voxel_by_voxel(views, monkeypatch):
    looked = []
    project = Silhouette.project

    def counted(self, points):
        looked.append(len(points))
        return project(self, points)

    cube = VoxelCube(np.zeros(3), 0.8, 64)
    monkeypatch.setattr(Silhouette, "project", counted)
    kept, _ = Carver(views).carve(cube)
    assert 5_000 < len(kept) < 64**3 / 4
    assert sum(looked) < len(views) * 64**3 / 20


def test_masks_of_which_parts_are_unknown(views):
    """Known pixels differ from view to view; where nothing is known, nothing is empty."""
    generator = np.random.default_rng(0)
    partly = []
    for view in views:
        valid = np.ones(view.alpha.shape, np.bool_)
        row, column = generator.integers(0, 40, 2)
        valid[row : row + 20, column : column + 20] = False
        partly.append(Silhouette(view.w2c, view.intrinsics, view.alpha * valid, valid=valid))
    whole = assert_as_each_voxel(views, VoxelCube(np.zeros(3), 0.7, 32))
    assert assert_as_each_voxel(partly, VoxelCube(np.zeros(3), 0.7, 32)) > whole


def test_masks_of_noise(views):
    """No block is of one kind, and each voxel is looked at."""
    generator = np.random.default_rng(1)
    noisy = [
        Silhouette(v.w2c, v.intrinsics, generator.random(v.alpha.shape).astype(np.float32))
        for v in views[:4]
    ]
    assert assert_as_each_voxel(noisy, VoxelCube(np.zeros(3), 0.5, 16), 1) > 0


def test_voxels_are_numbered_block_by_block():
    cube = VoxelCube(np.array([1.0, 2.0, 3.0]), 2.0, 2 * BLOCK)
    points = cube.points()
    voxels, places = cube.voxels_of(np.array([1, 6]))
    np.testing.assert_array_equal(places.T, points[voxels])
    corners = cube.block_corners()
    assert corners.tolist() == [[-1, 1, 3], [0, 2, 4], [1, 3, 5]]
    for part, (x, y, z) in zip(np.split(points[voxels], 2), [(0, 0, 1), (1, 1, 0)], strict=True):
        low = corners[[0, 1, 2], [x, y, z]]
        assert (part > low).all() and (part < low + 2).all()
    assert cube.half_step == 0.25
