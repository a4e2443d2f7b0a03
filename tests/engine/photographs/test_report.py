"""Reasons, and what to photograph again."""

import numpy as np
import pytest
from samples.textured_box import orbit

from geolrm.engine.photographs.intake import Photograph
from geolrm.engine.photographs.ladder import Climb
from geolrm.engine.photographs.models import Model
from geolrm.engine.photographs.report import again, reasons, summary


def model(names):
    camera = {"model": "PINHOLE", "width": 4, "height": 3, "params": [1, 1, 2, 1]}
    poses = np.tile(np.eye(4)[:3], (len(names), 1, 1))
    return Model(tuple(names), poses, (camera,) * len(names), (9,) * len(names),
                 np.zeros((5, 3)), np.zeros((5, 3), np.uint8), 0.61234)  # fmt: skip


PHOTOGRAPHS = [Photograph(f"{c}.jpg", c, 4, 3, None, 0.3, (), False) for c in "abcdefgh"]
CLIMB = Climb(
    model("abc"), (model("de"),), [{"rung": "chosen pairs"}],
    dict.fromkeys("abcdeg", 500) | {"f": 20, "h": 900}, dict.fromkeys("abcde", 3) | {"h": 1},
)  # fmt: skip


def test_each_photograph_without_a_pose_has_a_reason():
    found = reasons([*PHOTOGRAPHS, Photograph("i.jpg", "i", 4, 3, None, 0, (), False)], CLIMB,
                    {"i": "blurred"})  # fmt: skip
    assert found == {
        "d": "other model: it fits 1 others, which fit no more",
        "e": "other model: it fits 1 others, which fit no more",
        "f": "no matches: it shows too little texture",
        "g": "no matches: it overlaps no other photograph enough",
        "h": "too few matches with what the others show",
        "i": "blurred",
    }
    numbers = summary(CLIMB, PHOTOGRAPHS, {"f": "no matches"})
    assert (numbers["photographs"], numbers["posed"], numbers["points"]) == (8, 3, 5)
    assert numbers["left_out"] == [{"name": "f.jpg", "reason": "no matches"}]
    assert numbers["reprojection_error_px"] == 0.612


def rings(count, degrees=360.0, elevations=(0.0, 40.0)):
    poses = np.concatenate([orbit(count, degrees, elevation=e) for e in elevations])
    return poses[:, :3, 3]


def test_a_whole_capture_has_nothing_to_photograph_again():
    centres = rings(12)
    assert again(centres, [f"{i}.jpg" for i in range(24)], {}) == []


def test_the_widest_gap_is_named_by_the_photographs_at_its_ends():
    centres = rings(9, 240.0)  # 9 steps of 26.7 degrees, and 146.7 without any
    said = again(centres, [f"{i}.jpg" for i in range(18)], {})
    (gap,) = said
    assert "has no photograph for 147 degrees around the object" in gap
    first, second = gap.removeprefix("the side between ").split(" has")[0].split(" and ")
    assert first in ("8.jpg", "17.jpg") and second in ("0.jpg", "9.jpg")


@pytest.mark.parametrize(("elevations", "said"), [
    ((0.0,), "no photograph looks from above; take a ring from 30 to 60 degrees up"),
    ((40.0,), "no photograph looks level; take a ring at the object's own height")])  # fmt: skip
def test_missing_rings_are_named(elevations, said):
    centres = rings(12, elevations=elevations)
    assert again(centres, [f"{i}.jpg" for i in range(12)], {}) == [said]


def test_blurred_and_lonely_photographs_are_named():
    out = {"x.jpg": "blurred", "y.jpg": "no matches: it shows too little texture"}
    said = again(rings(12), [f"{i}.jpg" for i in range(24)], out)
    assert said == [
        "hold still, or use more light: x.jpg blurred",
        "take two or three photographs on the way to each of y.jpg, so that neighbours overlap by "
        "two thirds",
    ]
