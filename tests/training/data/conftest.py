"""One textured ball, rendered once and stored the way its sources store it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from samples.stored_objects import write_capture, write_gobjaverse
from samples.training import ball_mesh

from geolrm.training.data.gobjaverse import DISTINCT_VIEWS
from geolrm.training.data.meshes import render_object


@pytest.fixture(scope="module")
def posed():
    return render_object(ball_mesh(), np.random.default_rng(0), 48, points=3000)


@pytest.fixture(scope="module")
def capture_folder(posed, tmp_path_factory):
    return write_capture(tmp_path_factory.mktemp("captures") / "ball", posed)


@pytest.fixture
def capture(capture_folder, tmp_path):
    return Path(shutil.copytree(capture_folder, tmp_path / "ball"))


@pytest.fixture(scope="module")
def gobjaverse_folder(posed, tmp_path_factory):
    pytest.importorskip("OpenEXR")
    folder = tmp_path_factory.mktemp("gobjaverse") / "0" / "10010"
    return write_gobjaverse(folder, posed, DISTINCT_VIEWS)


@pytest.fixture
def gobjaverse(gobjaverse_folder, tmp_path):
    return Path(shutil.copytree(gobjaverse_folder, tmp_path / "10010"))
