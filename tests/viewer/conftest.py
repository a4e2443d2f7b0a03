"""A real object to show."""

import numpy as np
import pytest
from samples.hostile_text import HOSTILE

from geolrm import Engine, load_capture
from geolrm.examples import capture_path
from geolrm.viewer import Exhibit


@pytest.fixture(scope="session")
def lion():
    """A real, asymmetric object: 8,000 Gaussians of 500 anchors, from 6 views."""
    capture = load_capture(capture_path("lion"))
    used = capture.subset(capture.cameras.spread(6))
    scene = Engine("mini", threads=2).run(used.images, used.cameras, max_tokens=500, refine_steps=0)
    assert len(scene.gaussians) == 8000
    names = [HOSTILE, *used.names[1:]]
    return Exhibit.from_scene(scene, HOSTILE, names)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
