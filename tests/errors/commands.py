"""Options of the commands."""

from errors.case import Case

from geolrm.commands.evaluate import parse_counts, parse_names
from geolrm.commands.export import parse_range
from geolrm.commands.render import orbit_cameras
from geolrm.commands.run import parse_views

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
]  # fmt: skip
