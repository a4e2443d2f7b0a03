"""The visual hull of shapes that are known."""

import numpy as np
import pytest
from samples.known_shapes import (
    FACE_COLORS,
    HALF_SIDES,
    ball_surface,
    box_splats,
    make_splats,
    photograph,
    protocol_cameras,
)

from geolrm.bench.quality.image_metrics import pooled_psnr
from geolrm.bench.quality.protocol import TARGETS, input_frames
from geolrm.bench.quality.shape_metrics import intersection_over_union, occupied_voxels
from geolrm.bench.quality.visual_hull import visual_hull
from geolrm.engine.views.alpha import composite_on_white

CAMERAS = protocol_cameras()
ALL_AROUND = [*range(0, 36, 3), 36, 37]
VOXEL = 1 / 64


@pytest.fixture(scope="module")
def box():
    return photograph(box_splats(), CAMERAS, 96)


def hull_of(images, frames):
    return visual_hull([images[frame] for frame in frames], CAMERAS[list(frames)], threads=2)


def test_a_ball_is_carved_to_its_surface():
    points = ball_surface(radius=0.4)
    images = photograph(make_splats(points, np.full(points.shape, 0.5)), CAMERAS, 96)
    hull = hull_of(images, ALL_AROUND)
    radii = np.linalg.norm(hull.gaussians.means, axis=1)
    assert radii.min() > 0.4 - 1.5 * VOXEL and radii.max() < 0.4 + 5 * VOXEL
    assert np.median(radii) == pytest.approx(0.4, abs=1.5 * VOXEL)
    truth = occupied_voxels(points, 16)
    assert intersection_over_union(hull.occupied(16), truth) > 0.5


def test_a_box_keeps_its_sides_and_the_colors_of_its_own_faces(box):
    hull = hull_of(box, ALL_AROUND)
    means, colors = hull.gaussians.means, hull.gaussians.colors
    assert (np.abs(means) < HALF_SIDES + 4 * VOXEL).all()
    depth_inside = (HALF_SIDES - np.abs(means)).min(axis=1)
    assert depth_inside.max() < 2 * VOXEL  # carved no deeper than a voxel or two
    # Opposite faces are seen along the same lines: only occlusion keeps their colours apart.
    for face in range(6):
        axis, sign = face // 2, 2 * (face % 2) - 1
        others = [other for other in range(3) if other != axis]
        on_face = (sign * means[:, axis] > HALF_SIDES[axis] - VOXEL) & (
            np.abs(means[:, others]) < HALF_SIDES[others] - 4 * VOXEL
        ).all(axis=1)
        assert on_face.sum() > 20
        np.testing.assert_allclose(np.median(colors[on_face], axis=0), FACE_COLORS[face], atol=0.1)


def test_its_pictures_have_no_holes_and_beat_white_by_far(box):
    hull = hull_of(box, input_frames(6))
    drawn = hull.gaussians.render(CAMERAS[list(TARGETS)], (96, 96))
    truths = [composite_on_white(box[frame]) for frame in TARGETS]
    white = [np.ones_like(truth) for truth in truths]
    assert pooled_psnr(drawn.rgb, truths) > pooled_psnr(white, truths) + 6
    for alpha, frame in zip(drawn.alpha, TARGETS, strict=True):
        inside = box[frame][..., 3] == 255
        assert np.quantile(alpha[inside], 0.01) > 0.8


def test_pictures_without_alpha_are_carved_by_what_is_not_white(box):
    frames = input_frames(6)
    opaque = [np.rint(255 * composite_on_white(image)).astype(np.uint8) for image in box]
    with_alpha, without = hull_of(box, frames), hull_of(opaque, frames)
    overlap = intersection_over_union(with_alpha.occupied(32), without.occupied(32))
    assert overlap > 0.6
    np.testing.assert_allclose(
        with_alpha.gaussians.colors.mean(axis=0), without.gaussians.colors.mean(axis=0), atol=0.15
    )


def test_large_pictures_are_reduced_and_give_the_same_hull(box):
    frames = input_frames(4)
    large = {frame: box[frame].repeat(6, axis=0).repeat(6, axis=1) for frame in frames}
    small, same = hull_of(box, frames), hull_of(large, frames)
    assert intersection_over_union(small.occupied(32), same.occupied(32)) > 0.9
    uneven = {frame: image[:-1] for frame, image in large.items()}  # no whole number of squares
    assert len(hull_of(uneven, frames).gaussians) > 1000


def test_nothing_in_the_pictures_gives_no_hull():
    hull = hull_of(np.zeros((38, 32, 32, 4), np.uint8), input_frames(4))
    assert len(hull.gaussians) == 0
    assert not hull.occupied(32).any()
    assert (hull.gaussians.render(CAMERAS[[5]], (16, 16)).rgb == 1).all()


@pytest.mark.parametrize("grid", [16, 64, 100])
def test_occupancy_on_any_grid_has_no_gaps(box, grid):
    hull = hull_of(box, input_frames(6))
    occupied = hull.occupied(grid)
    assert occupied.any()
    centres = occupied_voxels(hull.gaussians.means, grid)
    assert not (centres & ~occupied).any()
    if grid == 100:  # finer than the hull: a voxel reaches into several
        assert occupied.sum() > 2 * centres.sum()
