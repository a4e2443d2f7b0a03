"""Features and matches of a rendered box: found once, forgotten, and found with more care."""

import numpy as np
import pytest
from samples.textured_box import orbit, write_photographs

from geolrm.engine.photographs.child_process import run_job

NAMES = ["00.png", "01.png", "02.png"]
PAIRS = [["00.png", "01.png"], ["01.png", "02.png"]]


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """A folder with photographs and a database, and the number of features of each."""
    folder = tmp_path_factory.mktemp("box")
    write_photographs(folder / "images", orbit(18)[:3], width=240, height=180, focal=260)
    return folder, extract(folder)


def extract(folder, names=NAMES, masks=None):
    groups = [{"names": list(names), "focal": 260.0, "size": (240, 180)}]
    return run_job("extract", folder / "log", database=str(folder / "a.db"),
                   images=str(folder / "images"), groups=groups, masks=masks, features=2000,
                   peak=0.002, threads=2, seed=0)  # fmt: skip


def match(folder, pairs, guided=False):
    return run_job("match", folder / "log", database=str(folder / "a.db"), pairs=pairs,
                   guided=guided, threads=2, seed=0)  # fmt: skip


def test_features_are_found_once(extracted):
    folder, features = extracted
    assert sorted(features) == NAMES and min(features.values()) > 150
    size = (folder / "a.db").stat().st_size
    assert extract(folder) == features and (folder / "a.db").stat().st_size == size


def test_the_strongest_features_are_some_of_them(extracted):
    folder, _ = extracted
    run_job("strongest", folder / "log", database=str(folder / "a.db"), count=100,
            output=str(folder / "s.npz"))  # fmt: skip
    with np.load(folder / "s.npz") as arrays:
        assert {n: arrays[n].shape for n in arrays} == dict.fromkeys(NAMES, (100, 128))
        assert arrays["00.png"].dtype == np.uint8


def test_forgotten_pairs_are_matched_anew_and_guided_matching_finds_more(extracted):
    folder, _ = extracted
    plain = {(a, b): n for a, b, n in match(folder, PAIRS)}
    assert sorted(plain) == [tuple(pair) for pair in PAIRS] and min(plain.values()) > 15
    again = {(a, b): n for a, b, n in match(folder, PAIRS, guided=True)}
    assert again == plain  # what is in the database is not done again
    # The second was never matched: nothing is to be forgotten.
    run_job("forget", folder / "log", database=str(folder / "a.db"),
            pairs=[PAIRS[0], ["00.png", "02.png"]])  # fmt: skip
    left = {(a, b): n for a, b, n in match(folder, [])}
    assert left == {("01.png", "02.png"): plain["01.png", "02.png"]}
    guided = {(a, b): n for a, b, n in match(folder, PAIRS, guided=True)}
    assert guided["01.png", "02.png"] == plain["01.png", "02.png"]
    assert guided["00.png", "01.png"] > plain["00.png", "01.png"]
