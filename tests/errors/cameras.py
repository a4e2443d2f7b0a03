"""Cameras: poses and intrinsics."""

import numpy as np
from errors.case import Case

from geolrm import Cameras

EYE = np.eye(4)
K = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def facing(distance, turned=False):
    """A camera that far in front; turned round it looks away."""
    pose = np.array([[1.0, 0, 0, 0], [0, 0, -1, -distance], [0, 1, 0, 0], [0, 0, 0, 1]])
    if turned:
        pose[:3, 1:3] *= -1
    return lambda place: Cameras(pose[None], K).check_facing()


def opencv(poses=None, intrinsics=100 * K, size=(64, 64), **options):
    poses = np.eye(4)[None] if poses is None else poses
    options = options or {"world_to_camera": poses}
    return lambda place: Cameras.from_opencv(intrinsics=intrinsics, size=size, **options)


CASES = [
    Case("poses have shape …; they must be [V, 4, 4] camera-to-world matrices",
         "One matrix for each image.", lambda place: Cameras(np.zeros((3, 3)), K)),
    Case("intrinsics have shape …; they must be [3, 3] or [1, 3, 3] for 1 poses",
         "One for all or one for each.", lambda place: Cameras(EYE[None], np.zeros((2, 3, 3)))),
    Case("poses are not an array of numbers: …", "Ragged lists or text.",
         lambda place: Cameras([[1, 2], [3]], K)),
    Case("pose 0 holds NaN or infinity; every entry must be finite", "A pose was not estimated.",
         lambda place: Cameras(changed(EYE, (0, 0), np.nan)[None], K)),
    Case("pose 0 has last row …; it must be (0, 0, 0, 1). Transpose matrices that are stored …",
         "Translations belong into the last column.",
         lambda place: Cameras(changed(EYE, (3, 0), 1.0)[None], K)),
    Case("pose 0 is no rigid motion: its rotation is off orthonormal by … (at most …); remove …",
         "Divide the 3x3 part by its scale.", lambda place: Cameras(
             changed(EYE, (0, 0), 2.0)[None], K)),
    Case("pose 0 is mirrored (determinant -1); the 3x3 part must be a rotation: check which axes …",
         "An odd number of axes was flipped.",
         lambda place: Cameras(changed(EYE, (0, 0), -1.0)[None], K)),
    Case("intrinsics 0 have fx = …, cx = …, which look like pixels; divide the first row by …",
         "Native intrinsics are divided by the image size.",
         lambda place: Cameras(EYE[None], 500 * K)),
    Case("intrinsics 0 have fx = …, fy = …; focal lengths divided by the image size must be …",
         "Zero or negative focal lengths.",
         lambda place: Cameras(EYE[None], changed(K, (0, 0), 0.0))),
    Case("intrinsics 0 have skew … and last row …; only pinhole cameras without skew are …",
         "Transposed intrinsics look like this too.", lambda place: Cameras(EYE[None], K.T)),
    Case("fov is …; it must be in degrees, from 1 to 179", "Often radians were given.",
         lambda place: Cameras.orbit(0, 0, 2, 0.7)),
    Case("azimuths and elevations must be numbers in degrees, one per view or one for all: …",
         "Lists of different lengths.", lambda place: Cameras.orbit([0, 1], [0, 1, 2], 2, 40)),
    Case("orbit is …; it must be 'sv3d' or 'zero123plus'", "Those cameras are known by name.",
         lambda place: Cameras.from_orbit("round")),
    Case("… views were asked for, but there are only …", "Ask for fewer.",
         lambda place: Cameras(EYE[None], K).spread(2)),
    Case("give either world_to_camera or camera_to_world, and not both", "One direction of poses.",
         opencv(world_to_camera=EYE[None], camera_to_world=EYE[None])),
    Case("extrinsics have shape …; they must be [V, 3, 4] or [V, 4, 4]", "OpenCV poses.",
         opencv(np.zeros((2, 2, 2)))),
    Case("size is …; it must be (width, height) in pixels", "Both above 0.", opencv(size=(0, 5))),
    Case("intrinsics have shape …; they must be [3, 3] or [V, 3, 3]", "In pixels.",
         opencv(intrinsics=np.zeros((2, 2)))),
    Case("intrinsics have fx = …, but from_opencv expects pixels; pass normalised intrinsics to …",
         "These are divided by the image size already.", opencv(intrinsics=K)),
    Case("pose 0 stands at …, inside the object cube [-0.5, 0.5]^3; scale the scene so that …",
         "The scene is too small, or not centred.", facing(0.3)),
    Case("pose 0 stands … away from the object; scale the scene so that the object fills the …",
         "The scene is too large.", facing(1000.0)),
    Case("pose 0 looks away from the object: the origin is … away and at … in camera axes …",
         "Most often poses in OpenCV axes, or world-to-camera matrices.", facing(2.0, turned=True)),
]  # fmt: skip
