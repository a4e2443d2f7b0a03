"""What ``geolrm run`` says of the photographs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from harness.processes import assert_refused, call_here

from geolrm.commands.alignment_report import alignment_lines, alignment_summary, moved_capture
from geolrm.engine.captures import load_capture
from geolrm.engine.refinement.alignment import Alignment
from geolrm.examples import CAPTURES

NAMES = ["a.png", "b.png"]


def scene(moved=True):
    colors = np.stack([np.eye(3), np.diag([1.2, 1.0, 0.8])])
    c2w = load_capture(CAPTURES / "shoe").cameras.c2w[[3, 4]]
    alignment = Alignment(
        c2w, moved, np.array([2.0, 3.0]), np.array([0.2, 0.4]), np.array([1.0, 0.25]), colors, [1]
    )
    return SimpleNamespace(alignment=alignment)


def test_lines_say_how_far_off_views_were_and_name_those_out_of_line():
    assert alignment_lines(scene(), NAMES) == [
        "poses refined: the views lay 2.5 px off (of 256), now 0.3 px; --refine-poses off leaves "
        "them as they are",
        "note: view b.png could not be brought in line and counted 25%; check its pose and mask, "
        "or leave it out",
        "note: the colours of view b.png were corrected to those of the others: grey times 1.20, "
        "1.00, 0.80 (red, green, blue)",
    ]
    assert len(alignment_lines(scene(moved=False), NAMES)) == 1
    assert alignment_lines(SimpleNamespace(alignment=None), NAMES) == []


def test_poses_that_looked_wrong_and_were_kept_are_told():
    kept = SimpleNamespace(alignment=replace(scene(moved=False).alignment, explained=True))
    assert alignment_lines(kept, NAMES)[0] == (
        "poses kept: the views lay 2.5 px off (of 256), but splats alone could be brought in line "
        "with them; --refine-poses on moves the cameras, too"
    )
    summary = alignment_summary(kept, NAMES)
    assert summary is not None
    assert (summary["poses_refined"], summary["splats_explain_poses"]) == (False, True)


def test_colours_by_direction_are_told_in_one_line():
    found = scene(moved=False).alignment
    shaded = SimpleNamespace(alignment=replace(found, likeness=21.04, shaded=True))
    assert alignment_lines(shaded, NAMES) == [
        "plain colours do not explain the photographs (21.0 dB), as where a flash moves; "
        "colours depend on the direction now, --shading off leaves them plain"
    ]
    summary = alignment_summary(shaded, NAMES)
    assert summary is not None and summary["shaded"] is True and summary["likeness_db"] == 21.04


def test_the_summary_holds_all_of_each_view():
    summary = alignment_summary(scene(), NAMES)
    assert summary is not None and summary["poses_refined"] is True
    first, second = summary["views"]
    assert (first["name"], first["in_line"], first["color_corrected"]) == ("a.png", True, False)
    assert (second["residual_before_px"], second["residual_after_px"]) == (3.0, 0.4)
    assert second["weight"] == 0.25 and not second["in_line"] and second["color_corrected"]
    assert np.shape(second["camera_to_world"]) == (4, 4)
    assert alignment_summary(SimpleNamespace(alignment=None), NAMES) is None


def test_a_capture_takes_the_moved_poses_where_there_are_some():
    used = load_capture(CAPTURES / "shoe").subset([0, 1])
    np.testing.assert_array_equal(moved_capture(used, scene()).cameras.c2w, scene().alignment.c2w)
    assert moved_capture(used, scene(moved=False)) is used


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--refine-poses", "maybe"], "--refine-poses is 'maybe'; give auto, on or off"),
        (["--shading", "maybe"], "--shading is 'maybe'; give auto, on or off"),
        (["--quality", "good"],
         "quality is 'good'; it must be 'fast', 'balanced', 'best', or seconds up to 3600"),
        (["--quality", "-1"],
         "quality is -1.0; it must be 'fast', 'balanced', 'best', or seconds up to 3600"),
        (["--quality", "2", "--refine", "3"],
         "both quality, 2.0, and refine_steps, 3, were given; give one of them"),
        (["--shading", "on", "--refine", "0"],
         "shading is True, but refine_steps is 0; colours by direction are found by the "
         "refinement: give steps, or leave one of them out"),
        (["--refine-poses", "on", "--refine", "0"],
         "refine_poses is True, but refine_steps is 0; poses are refined with the Gaussians: give "
         "steps, or leave one of them out"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_refused(tmp_path, options, message):
    done = call_here("geolrm", "run", CAPTURES / "shoe", "-o", tmp_path / "a.ply", *options)
    assert_refused(done, message)


def test_a_folder_that_holds_something_is_no_place_for_a_capture(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").write_text("")
    done = call_here(
        "geolrm", "run", CAPTURES / "shoe", "-o", tmp_path / "a.ply", "--write-capture",
        tmp_path / "there",
    )  # fmt: skip
    assert_refused(done, "already exists; name a new folder for the capture")
