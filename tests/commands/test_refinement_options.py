"""--quality, and what is said of the refinement."""

import json

import pytest
from harness.processes import call_here

from geolrm.commands.refinement_options import parse_quality
from geolrm.examples import CAPTURES


@pytest.mark.parametrize(
    ("text", "quality"), [(None, None), ("fast", "fast"), ("2.5", 2.5), ("3", 3.0)]
)
def test_names_and_seconds(text, quality):
    assert parse_quality(text) == quality


def test_a_run_says_how_far_it_got(tmp_path):
    options = ["--views", "9", "--max-tokens", "300", "--quality", "fast", "--json"]
    done = call_here("geolrm", "run", CAPTURES / "banana", "-o", tmp_path / "a.ply", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["refinement"] == {
        "steps": 10, "budget": 10, "size": 256, "held_back": None, "ended": "budget",
        "residuals": [], "learned": 0, "closing": 0,
    }  # fmt: skip
