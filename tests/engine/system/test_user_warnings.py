"""Warnings name the line of the user's own code, whatever the way to the library's."""

import warnings

import pytest
from samples.gaussians import random_gaussians

from geolrm import Engine
from geolrm.engine.formats import splat_files
from geolrm.engine.system.user_warnings import show_warnings, warn
from geolrm.engine.views.alpha import composite_on_white
from geolrm.engine.views.preprocessing import prepare_views

HERE = __file__


@pytest.fixture(scope="module")
def fresh_engine(bundles):
    return Engine(bundles["token"], threads=2)


def places(call):
    """(file, text) of every warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [(warning.filename, str(warning.message)) for warning in caught]


def test_the_assumed_field_of_view(fresh_engine, shoe_views):
    images, cameras = shoe_views
    ((file, text),) = places(lambda: fresh_engine.run(images, cameras.c2w))
    assert file == HERE and "assuming the training field of view" in text


@pytest.mark.parametrize("way", ["run", "live", "prepare_views", "composite_on_white"])
def test_a_dark_background(fresh_engine, shoe_views, way):
    images, cameras = shoe_views[0][:1, ..., :3] // 2, shoe_views[1][:1]
    images[:, ::2] += 100  # a background of more than one colour
    call = {
        "run": lambda: fresh_engine.run(images, cameras),
        "live": lambda: fresh_engine.live().add(images[0], cameras),
        "prepare_views": lambda: prepare_views(images, cameras, 56),
        "composite_on_white": lambda: composite_on_white(images[0]),
    }[way]
    file, text = places(call)[0]
    assert file == HERE and "its border is neither white nor of one colour" in text


@pytest.mark.parametrize("way", ["save", "encode"])
@pytest.mark.parametrize("case", ["harmonics", "far", "wide"])
def test_what_a_splat_file_cannot_hold(tmp_path, way, case):
    gaussians = random_gaussians(4 if case == "harmonics" else None)
    if case == "far":
        gaussians.means[0] = 1e5
    if case == "wide":
        gaussians.scales[0] = 1e5
    suffix = ".splat" if case == "harmonics" else ".spz"
    call = {
        "save": lambda: gaussians.save(tmp_path / f"a{suffix}"),
        "encode": lambda: splat_files.encode(gaussians, suffix),
    }[way]
    assert [file for file, _ in places(call)] == [HERE]


def test_shown_as_plain_lines(capsys):
    with show_warnings():
        warn("mind the gap")
    assert capsys.readouterr().err == "warning: mind the gap\n"
