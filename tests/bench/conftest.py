"""A small data set of two known shapes."""

import numpy as np
import pytest
from samples.known_shapes import ball_surface, box_splats, box_surface, make_splats, write_capture


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("captures")
    write_capture(root / "box", box_splats(), box_surface()[0])
    points = ball_surface()
    write_capture(root / "ball", make_splats(points, 0.5 + points), points)
    (root / "README.md").write_text("two shapes")
    (root / "notes").mkdir()
    assert np.abs(points).max() <= 0.5
    return root
