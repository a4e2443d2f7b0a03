"""geolrm eval."""

import numpy as np
from errors.case import Case

from geolrm.bench.quality.dataset import find_subjects
from geolrm.bench.quality.protocol import input_frames
from geolrm.engine.captures.arrays import read_points


def points(**arrays):
    def trigger(place):
        np.savez(place.tmp / "points.npz", **arrays)
        return read_points(place.tmp / "points.npz")

    return trigger


def no_zip(place):
    (place.tmp / "points.npz").write_bytes(b"nothing")
    return read_points(place.tmp / "points.npz")


ONE, SEEN = np.zeros((1, 3), np.float32), np.ones(1, bool)

CASES = [
    Case("… is no dataset; give a capture folder (transforms.json, rgb/, points.npz), or a …",
         "The path is no folder.", lambda place: find_subjects(place.tmp / "none", None)),
    Case("… holds no capture: neither transforms.json nor a folder with one; give a capture …",
         "Nothing to score.", lambda place: find_subjects(place.tmp, None)),
    Case("… views were asked for; the protocol has … input frames (…), so give 1 to …",
         "The rest are targets.", lambda place: input_frames(99)),
    Case("… is missing; give samples of the true surface: an .npz with points [N, 3] and, if …",
         "Shapes are scored against them.", lambda place: read_points(place.tmp / "none.npz")),
    Case("… lacks an array: …; write it again", "It must be named points.",
         points(visible=SEEN)),
    Case("… cannot be read: …; restore it", "Damaged.", no_zip),
    Case("… holds points of shape … and visible of shape …; they must be [N, 3] and [N]",
         "Shapes must agree.", points(points=ONE, visible=np.ones(2, bool))),
    Case("… holds no visible point; sample the surface again", "All are hidden.",
         points(points=ONE, visible=~SEEN)),
    Case("… holds points outside the object cube; every coordinate must be finite and in …",
         "Scale the object to the cube.", points(points=ONE + 3, visible=SEEN)),
    Case("…: points has dtype …; it must hold …", "Other numbers.",
         points(points=np.zeros((1, 3), int), visible=SEEN)),
]  # fmt: skip
