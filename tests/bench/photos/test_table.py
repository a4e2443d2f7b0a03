"""Targets held against rows."""

import pytest

from geolrm.bench.photos.table import Line, cut_view_lines, to_markdown, wrong_pose_lines


def row(name, views, wrong, off, on, pays):
    return {
        "name": name, "views": views, "wrong": wrong, "off": off, "on": on, "pays": pays,
        "off_seconds": 2.0, "on_seconds": 5.0, "off_cpu_seconds": 4.0, "on_cpu_seconds": 12.0,
        "measuring_cpu_seconds": 0.2,
    }  # fmt: skip


ROWS = [
    row("a", 12, 0.0, 33.0, 33.2, False),
    row("b", 12, 0.0, 31.0, 31.0, True),
    row("a", 12, 1.0, 25.0, 32.8, True),
    row("b", 12, 1.0, 23.0, 30.8, True),
    row("c", 12, 1.0, 10.0, 10.0, True),  # its true poses were not measured yet
    row("a", 12, 2.0, 20.0, 31.0, False),
    row("a", 6, 0.0, 28.0, 27.8, False),
    row("a", 6, 1.0, 24.0, 27.6, True),
]


@pytest.fixture
def lines():
    return {line.what: line for line in wrong_pose_lines(ROWS)}


@pytest.mark.parametrize(
    ("what", "measured", "met", "objects"),
    [
        ("12 views, poses off by 1 degrees and 1 %",
         "24.00 dB, refined 31.80; true poses 32.00, so 0.20 below", True, 2),
        ("6 views, poses off by 1 degrees and 1 %",
         "24.00 dB, refined 27.60; true poses 28.00, so 0.40 below", False, 1),
        # `auto` did not refine: the score is that of the poses as they were.
        ("12 views, poses off by 2 degrees and 2 %",
         "20.00 dB, refined 20.00; true poses 33.00, so 13.00 below", False, 1),
        ("true poses, 12 views, refinement of poses on", "32.10 dB, -0.10 lost", True, 2),
        ("true poses, 6 views, refinement of poses on", "27.80 dB, 0.20 lost", False, 1),
        ("auto, poses off by 0 degrees and 0 %", "leaves 2 of 3", False, 3),
        ("auto, poses off by 1 degrees and 1 %", "refines 4 of 4", True, 4),
        ("auto, cost where it does not refine", "5.0% of a plain run", True, 3),
        ("time with poses refined, 6 views",
         "5.0 s beside 2.0 s plain (medians); 3.0 times the processor's time", False, 1),
        ("time with poses refined, 12 views",
         "5.0 s beside 2.0 s plain (medians); 3.0 times the processor's time", True, 4),
    ],
)  # fmt: skip
def test_lines_of_wrong_poses(lines, what, measured, met, objects):
    line = lines[what]
    assert (line.measured, line.met, line.objects) == (measured, met, objects)


def test_cut_views_are_held_against_whole_ones():
    (line,) = cut_view_lines([
        {"whole": 32.0, "fewer": 30.5, "cut": 30.0, "outside": 0.3},
        {"whole": 34.0, "fewer": 32.5, "cut": 32.0, "outside": 0.32},
    ])  # fmt: skip
    assert "31% of the silhouette" in line.what and line.objects == 2
    assert line.measured == (
        "31.00 dB over the region seen, whole views 33.00, so 2.00 below; 8 whole views 31.50"
    )
    assert line.met is False
    assert cut_view_lines([]) == [] and wrong_pose_lines([]) == []


def test_a_line_and_the_page_say_what_was_missed():
    line = Line("dark", "3 dB", "at most 1 dB", False, 2)
    assert str(line) == "dark: 3 dB [at most 1 dB] MISSED"
    page = to_markdown({"cpu": "slow"}, [line])
    assert "* cpu: slow" in page and "| dark | 3 dB | at most 1 dB | missed | 2 |" in page
