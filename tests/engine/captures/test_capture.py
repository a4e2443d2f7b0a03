from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples.capture_files import box_cameras

from geolrm import InputError
from geolrm.engine.captures.capture import Capture


def capture(channels=(3, 3, 3), sizes=((8, 8),) * 3):
    images = [np.zeros((*size, c), np.uint8) for size, c in zip(sizes, channels, strict=True)]
    names = [f"{index}.png" for index in range(len(images))]
    return Capture(Path("here"), names, images, box_cameras(len(images)), kind="poses")


@pytest.mark.parametrize(
    ("channels", "sizes", "found"),
    [
        ((3, 3, 3), [(8, 6)] * 3, "images with poses.npy: 3 views, 6 x 8 px, without alpha"),
        ((4, 4, 4), [(8, 8)] * 3, "images with poses.npy: 3 views, 8 x 8 px, with alpha"),
        ((3, 4, 4), [(8, 8), (8, 8), (9, 8)], "3 views, different sizes, 2 with alpha"),
    ],
)
def test_what_was_found_is_one_line(channels, sizes, found):
    assert capture(channels, sizes).found.endswith(found)
    assert repr(capture(channels, sizes)) == "Capture('here', images with poses.npy, 3 views)"


def test_a_subset_is_in_the_order_that_was_asked_for():
    masks = [np.ones((8, 8), bool), None, None]
    whole = replace(capture(), valid=masks)
    part = whole.subset([2, 0])
    assert part.valid is not None and part.valid[1] is masks[0] and part.valid[0] is None
    assert capture().subset([0]).valid is None
    assert part.names == ["2.png", "0.png"] and part.images[0] is whole.images[2]
    np.testing.assert_array_equal(part.cameras.c2w, whole.cameras.c2w[[2, 0]])
    for index in (3, -1):
        with pytest.raises(InputError, match=f"view {index} was asked for, but 'here' has frames"):
            whole.subset([index])


def test_a_camera_that_looks_away_is_named_with_its_file():
    whole = capture()
    whole.cameras.c2w[1, :3, :3] *= np.array([-1, 1, -1])  # turned around its y axis
    with pytest.raises(InputError, match=r"^here: .*What is likely wrong: geolrm check"):
        whole.check_facing()
