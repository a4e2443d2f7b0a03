import numpy as np
import pytest
from PIL import Image

from geolrm import InputError

FIELDS = ("means", "opacities", "scales", "quats", "colors")


def assert_identical(a, b):
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(a.gaussians, field), getattr(b.gaussians, field))
    np.testing.assert_array_equal(a.anchors, b.anchors)


def test_live_capture_is_bit_identical_to_run(engine, shoe_views):
    images, cameras = shoe_views
    live = engine.live()
    for count in range(1, len(images) + 1):
        live.add(images[count - 1], cameras[[count - 1]])
        assert_identical(live.run(seed=3), engine.run(images[:count], cameras[:count], seed=3))
    assert len(live) == 4


@pytest.mark.parametrize("size", [300, 400, 600])
def test_larger_photographs_are_looked_at_as_closely_as_in_run(engine, shoe_views, size):
    images, cameras = shoe_views
    larger = [np.asarray(Image.fromarray(image).resize((size, size))) for image in images]
    live = engine.live()
    for index, image in enumerate(larger):
        live.add(image, cameras[[index]])
    options = {"quality": "fast"} if size == 600 else {"refine_steps": 4, "shading": size == 400}
    scene, expected = live.run(**options), engine.run(larger, cameras, **options)
    for field in (*FIELDS, "sh"):
        ours, theirs = (getattr(each.gaussians, field) for each in (scene, expected))
        np.testing.assert_array_equal(ours, theirs)
    assert scene.refinement == expected.refinement
    assert scene.refinement.size == {300: 256, 400: 400, 600: 256}[size]


def test_live_add_takes_a_matrix_and_intrinsics(engine, shoe_views):
    images, cameras = shoe_views
    live = engine.live()
    live.add(images[0], cameras.c2w[0], intrinsics=cameras.intrinsics[0])
    assert_identical(live.run(), engine.run(images[:1], cameras[:1]))


def test_live_without_views(engine):
    with pytest.raises(InputError, match="add at least 1 view before run"):
        engine.live().run()


def test_what_is_not_valid_of_a_view_is_as_in_run(engine, shoe_views):
    images, cameras = shoe_views
    valid = np.ones(images.shape[1:3], bool)
    valid[:, :100] = False
    live = engine.live()
    live.add(images[0], cameras[[0]])
    live.add(images[1], cameras[[1]], valid=valid)
    scene = live.run(seed=3)
    assert_identical(scene, engine.run(images[:2], cameras[:2], valid=[None, valid], seed=3))
    assert scene.views.valid[0].all() and not scene.views.valid[1].all()
    with pytest.raises(InputError, match="the valid mask of image 0 is bool"):
        live.add(images[2], cameras[[2]], valid=valid[:-1])
