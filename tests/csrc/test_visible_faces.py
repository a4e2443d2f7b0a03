"""Which face is seen at each pixel: against every face at every pixel, one by one, in float64."""

import numpy as np
import pytest

from geolrm import _C

SIZE = (23, 17)  # width, height


def visible(points, faces, size=SIZE):
    ids = np.full(size[::-1], 77, np.int32)
    iz = np.full(size[::-1], np.nan, np.float32)
    _C.visible_faces(np.asarray(points, float), np.asarray(faces, np.int32), *size, ids, iz)
    return ids, iz


def slowly(points, faces, size):
    """The nearest face at each pixel's centre, 1 / z there, and how close any edge is to it."""
    width, height = size
    ids, iz = np.full((height, width), -1), np.zeros((height, width))
    close = np.full((height, width), np.inf)
    for row in range(height):
        for column in range(width):
            at = np.array([column + 0.5, row + 0.5])
            for index, face in enumerate(faces):
                a, b, c = points[face]
                if min(a[2], b[2], c[2]) <= 0:
                    continue
                matrix = np.stack([b[:2] - a[:2], c[:2] - a[:2]], axis=1)
                if abs(np.linalg.det(matrix)) < 1e-9:
                    continue
                s, t = np.linalg.solve(matrix, at - a[:2])
                shares = np.array([1 - s - t, s, t])
                close[row, column] = min(close[row, column], abs(shares).min())
                depth = shares @ [a[2], b[2], c[2]]
                if shares.min() >= 0 and depth > iz[row, column]:
                    ids[row, column], iz[row, column] = index, depth
    return ids, iz, close


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_face_at_each_pixel(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-5, -5, 0.2], [28, 22, 1], (27, 3))
    points[0, 2] = 0  # in front of the near plane: its face draws nothing
    faces = rng.permutation(27).reshape(9, 3)  # that share nothing, so that none are as near
    ids, iz = visible(points, faces)
    expected_ids, expected_iz, close = slowly(points, faces, SIZE)
    sure = close > 1e-4
    assert sure.mean() > 0.9 and len(np.unique(ids)) > 3
    np.testing.assert_array_equal(ids[sure], expected_ids[sure])
    np.testing.assert_allclose(iz[sure], expected_iz[sure], rtol=2e-5, atol=1e-6)


def test_neighbours_leave_no_gap_and_nothing_is_drawn_elsewhere():
    square = [[2, 3, 1], [20, 3, 1], [20, 15, 1], [2, 15, 1]]
    ids, iz = visible(square, [[0, 1, 2], [0, 2, 3]])
    inside = np.zeros(SIZE[::-1], bool)
    inside[3:15, 2:20] = True
    np.testing.assert_array_equal(ids >= 0, inside)
    np.testing.assert_array_equal(iz, inside.astype(np.float32))
    ids, iz = visible(square, np.empty((0, 3)))
    assert (ids == -1).all() and (iz == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.array([[0, 0, np.nan]])}, "points of vertex 0 is nan; it must be finite"),
        ({"faces": np.array([[0, 0, 1]], np.int32)}, "face 0 names vertex 1, but there are 1"),
        ({"width": 0}, "the image is 0 x 4 px; each side must be 1 to 16384"),
    ],
)
def test_what_is_refused(change, message):
    arguments = {"points": np.zeros((1, 3)), "faces": np.zeros((1, 3), np.int32), "width": 5,
                 "height": 4, "ids": np.empty((4, 5), np.int32),
                 "iz": np.empty((4, 5), np.float32), **change}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        _C.visible_faces(**arguments)
