import warnings

import numpy as np
import pytest

from geolrm import Engine, InputError

FIELDS = ("means", "opacities", "scales", "quats", "colors")


def assert_identical(a, b):
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(a.gaussians, field), getattr(b.gaussians, field))
    np.testing.assert_array_equal(a.anchors, b.anchors)


def test_without_intrinsics_the_training_fov_is_taken_with_one_warning(bundles, shoe_views):
    engine = Engine(bundles["token"])
    images, cameras = shoe_views
    with pytest.warns(UserWarning, match="assuming the training field of view .* 50 degrees"):
        assumed = engine.run(images, cameras.c2w)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_identical(assumed, engine.run(images, cameras.c2w))
        assert_identical(assumed, engine.run(images, cameras.c2w, fov=50))
    np.testing.assert_allclose(assumed.views.intrinsics[0, 0, 0], 0.5 / np.tan(np.deg2rad(25)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": 0}, "max_tokens is 0; it must be a whole number from 1"),
        ({"max_tokens": 1.5}, "max_tokens is 1.5; it must be a whole number"),
        ({"max_tokens": True}, "max_tokens is True; it must be a whole number"),
        ({"anchors": "abc"}, "anchors are not an array of numbers"),
        ({"fov": "50"}, "fov is '50'; it must be in degrees"),
        ({"intrinsics": [[1, 2], [3]]}, "intrinsics are not an array of numbers"),
        ({"max_tokens": 600}, "max_tokens is 600; .* --tokens 1:64:600"),
        ({"selection": "best"}, "'best'; it must be 'random' or 'confident'"),
        ({"anchors": np.zeros((4, 2))}, r"anchors have shape \(4, 2\); they must be \[\w, 3\]"),
        ({"anchors": np.full((1, 3), np.nan)}, "every coordinate must be finite"),
        ({"anchors": np.full((1, 3), 0.7)}, "outside the object cube"),
        ({"anchors": np.zeros((600, 3))}, "600 anchors were given; this bundle takes 1 to 512"),
        ({"intrinsics": np.eye(3) * 300, "fov": None}, "which look like pixels"),
        ({"intrinsics": np.eye(3), "fov": 50}, "both intrinsics and fov were given"),
        ({"fov": 1.2e-3}, "it must be in degrees"),
        ({"seed": "a"}, "seed is 'a'; it must be a whole number"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_broken_arguments_are_named(engine, shoe_views, change, message):
    with pytest.raises(InputError, match=message):
        engine.run(*shoe_views, **change)


def test_too_many_views(engine, shoe):
    with pytest.raises(InputError, match="38 views were given; this bundle takes 1 to 21"):
        engine.run(shoe.images, shoe.cameras)


def test_views_and_poses_must_agree(engine, shoe_views):
    images, cameras = shoe_views
    with pytest.raises(InputError, match="3 images but 4 poses"):
        engine.run(images[:3], cameras)
