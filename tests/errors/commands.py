"""Options of the commands."""

import numpy as np
from errors.case import Case
from samples import random_gaussians
from written_captures import write_transforms

from geolrm import Cameras
from geolrm.commands.evaluate import parse_counts, parse_names
from geolrm.commands.export import parse_range
from geolrm.commands.render import check_output as check_frames
from geolrm.commands.render import orbit_cameras, render
from geolrm.commands.run import parse_views


def frames_at_a_file(place):
    (place.tmp / "a").write_text("")
    check_frames(place.tmp / "a", 64)


def video_at_a_folder(place):
    (place.tmp / "a.mp4").mkdir()
    check_frames(place.tmp / "a.mp4", 64)


def video_of_two_shapes(place):
    photos = [np.zeros((8, 8, 4), np.uint8), np.zeros((8, 6, 4), np.uint8)]
    write_transforms(place.tmp / "c", photos, Cameras.orbit([0, 90], 10, 1.5, 40.0))
    random_gaussians().save(place.tmp / "a.ply")
    render(place.tmp / "a.ply", place.tmp / "a.mp4", place.tmp / "c", None, 64, as_json=True)


CASES = [
    Case("--views is …; give a number of views such as 6, or frame indices such as 0,4,8",
         "Of geolrm run.", lambda place: parse_views("many", 38)),
    Case("--views is …; give frame indices, each once", "A frame was named twice.",
         lambda place: parse_views("0,0", 38)),
    Case("--views is 50; this capture has 38 frames, so give 1 to 38", "Of geolrm run.",
         lambda place: parse_views("50", 38)),
    Case("--views is …; give numbers of views, each once, such as 4,6,8,12,16,20",
         "Of geolrm eval.", lambda place: parse_counts("4,4")),
    Case("--objects is …; give names of objects, such as shoe,lion", "Of geolrm eval.",
         lambda place: parse_names(",")),
    Case("--tokens is …; it must be MIN:OPT:MAX, three whole numbers such as 1:6:21",
         "Of geolrm-export.", lambda place: parse_range("--tokens", "1:2")),
    Case("--tokens is …; it must satisfy 1 <= MIN <= OPT <= MAX", "Of geolrm-export.",
         lambda place: parse_range("--tokens", "3:2:1")),
    Case("--orbit is 0; it must be 1 to 100000 frames", "Of geolrm render.",
         lambda place: orbit_cameras(0)),
    Case("output is …; name a folder for PNG frames or a .mp4 file",
         "Of geolrm render: other pictures and videos are not written.",
         lambda place: check_frames(place.tmp / "a.gif", 64)),
    Case("… is a file; name a folder or a .mp4 file", "Of geolrm render.", frames_at_a_file),
    Case("--size is …; video frames need an even number of pixels", "Of geolrm render.",
         lambda place: check_frames(place.tmp / "a.mp4", 63)),
    Case("output … is a folder; name a .mp4 file in it", "Of geolrm render.", video_at_a_folder),
    Case("… has images of different shapes, and a video has one; name a folder for PNG frames",
         "Of geolrm render --cameras.", video_of_two_shapes),
]  # fmt: skip
