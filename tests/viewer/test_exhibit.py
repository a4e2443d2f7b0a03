from pathlib import Path

import numpy as np
import pytest
from samples.gaussians import random_gaussians

from geolrm import Cameras, InputError
from geolrm.engine.captures.capture import Capture
from geolrm.viewer import Exhibit
from geolrm.viewer.exhibit import IMAGE_SIDE, InputViews, image_side


def cameras(count):
    return Cameras.orbit(np.arange(count) * 30.0, 10, 1.8, 50)


def test_views_of_a_capture_are_small_and_on_white():
    image = np.zeros((IMAGE_SIDE, 2 * IMAGE_SIDE, 4), np.uint8)  # transparent black
    capture = Capture(Path("a"), ["0.png", "1.png"], [image, image], cameras(2))
    views = InputViews.from_capture(capture)
    assert len(views) == 2 and views.images[0].shape == (IMAGE_SIDE // 2, IMAGE_SIDE, 3)
    assert (views.images[1] == 255).all()


def test_images_are_smaller_where_they_are_many():
    sides = [image_side(count) for count in (0, 1, 6, 24, 96, 1000)]
    assert sides == [1024, 1024, 1024, 512, 256, 256]


def test_there_is_one_of_each_for_every_view():
    with pytest.raises(InputError, match="there are 1 names, 2 cameras and 2 images"):
        InputViews(["a"], cameras(2), [np.zeros((1, 1, 3), np.uint8)] * 2)


def test_an_exhibit_says_what_it_shows():
    shown = repr(Exhibit("shoe", random_gaussians()))
    assert shown.startswith("Exhibit('shoe', Gaussians(50") and shown.endswith("0 views)")
