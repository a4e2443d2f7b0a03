import pytest

from geolrm import InputError
from geolrm.fleet.options import CaptureOptions


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"views": 6}, "views", "6"),
        ({"views": [0, 4]}, "views", "0,4"),
        ({"views": [3]}, "views", "3,"),
        ({"quality": 2}, "quality", 2.0),
        ({"quality": "best"}, "quality", "best"),
        ({"format": "spz"}, "format", ".spz"),
        ({"format": ".glb"}, "format", ".glb"),
        ({"refine_poses": True}, "refine_poses", "on"),
        ({"shading": "off"}, "shading", "off"),
        ({"fit": False}, "fit", False),
        ({"seed": None}, "seed", 0),
        ({"selection": "confident"}, "selection", "confident"),
        ({"sh_degree": 3}, "sh_degree", 3),
        ({"format": "spz", "spz_version": 4}, "spz_version", 4),
    ],
)
def test_a_line_sets_options(given, name, value):
    assert getattr(CaptureOptions(seed=3).changed(given, "here"), name) == value


def test_the_lines_own_effort_wins():
    assert CaptureOptions(quality="best").changed({"refine": 3}, "here").quality is None
    assert CaptureOptions(refine=3).changed({"quality": "fast"}, "here").refine is None


def test_a_lines_own_format_leaves_out_what_it_does_not_hold():
    given = CaptureOptions(format=".spz", spz_version=4, sh_degree=1)
    assert given.changed({"format": "ply"}, "here").file_options() == {
        "sh_degree": 1, "spz_version": None,
    }  # fmt: skip
    assert given.changed({"format": "splat"}, "here").file_options() == {
        "sh_degree": None, "spz_version": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"viewz": 6}, "here has the field 'viewz'; known are capture, id, fit, format, max_tokens,"
                       " quality, refine, refine_poses, remove_background, seed, selection, "
                       "sh_degree, shading, spz_version, views, world"),
        ({"views": 1.5}, "here: views is 1.5; give a number or a list of frames"),
        ({"views": []}, "here: views is []; give a number or a list of frames"),
        ({"seed": "1"}, "here: seed is '1'; give a whole number"),
        ({"seed": True}, "here: seed is True; give a whole number"),
        ({"format": "obj"}, "here: format is 'obj'; give .ply, .spz, .splat, .glb, .sog, "
         ".npz, .usda, .usdc, .usdz"),
        ({"sh_degree": 4}, "here: sh_degree is 4; it must be 0, 1, 2 or 3"),
        ({"spz_version": 4}, "here: spz_version was given, but .ply files are no SPZ: leave it "
                             "out"),
        ({"format": "spz", "spz_version": 2}, "here: spz_version is 2; it must be 3 or 4"),
        ({"fit": 1}, "here: fit is 1; give true or false"),
        ({"shading": "maybe"}, "here: shading is 'maybe'; give auto, on or off"),
        ({"selection": "any"}, "here: selection is 'any'; give random or confident"),
        ({"quality": "good"}, "here: quality is 'good'; it must be 'fast', 'balanced', 'best', or "
                              "seconds up to 3600"),
    ],
)  # fmt: skip
def test_what_is_no_option_is_refused(given, said):
    with pytest.raises(InputError) as raised:
        CaptureOptions().changed(given, "here")
    assert str(raised.value) == said


CHANGES = [
    {"views": 2}, {"max_tokens": 9}, {"seed": 1}, {"selection": "confident"}, {"quality": "fast"},
    {"refine": 1}, {"refine_poses": "on"}, {"shading": "on"}, {"remove_background": True},
    {"fit": True}, {"fit": False}, {"world": True}, {"format": ".spz"},
    {"sh_degree": 2}, {"format": ".spz", "spz_version": 4},
]  # fmt: skip


def test_every_option_changes_the_digest():
    digests = {CaptureOptions().changed(change, "here").digest() for change in CHANGES}
    assert len(digests | {CaptureOptions().digest(), CaptureOptions().digest("model")}) == 17
    assert CaptureOptions().digest() == CaptureOptions(seed=0).digest()


def test_what_is_not_the_default_is_told():
    assert CaptureOptions().to_dict() == {}
    assert CaptureOptions(seed=2, fit=False).to_dict() == {"seed": 2, "fit": False}


def test_a_run_takes_them():
    options = CaptureOptions(refine=0, refine_poses="off").run_options()
    assert options == {
        "seed": 0, "max_tokens": None, "selection": "random", "quality": None, "refine_steps": 0,
        "refine_poses": False, "shading": "auto",
    }  # fmt: skip
