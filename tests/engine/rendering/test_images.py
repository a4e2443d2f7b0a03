import numpy as np
import pytest

from geolrm import InputError
from geolrm.engine.rendering.images import Renders, check_out


def test_empty_images_have_rows_of_the_width():
    images = Renders.empty(2, (5, 3))
    assert (images.rgb.shape, images.alpha.shape) == ((2, 3, 5, 3), (2, 3, 5))
    assert images.depth.shape == (2, 3, 5)
    assert {a.dtype for a in (images.rgb, images.alpha, images.depth)} == {np.dtype("f4")}
    assert repr(images) == "Renders(2 views, 5x3)"
    assert images.numpy() is images
    check_out(images)


def test_what_images_cannot_be_written_into():
    images = Renders.empty(1, (4, 4))
    lists = Renders(images.rgb, images.alpha.tolist(), images.depth)
    for given, kind in ((images.rgb, "ndarray"), (None, "NoneType"), (lists, "Renders")):
        with pytest.raises(InputError, match=f"out is a {kind}; it must be Renders, such as"):
            check_out(given)


@pytest.mark.parametrize("shared", [("rgb", "alpha"), ("alpha", "depth"), ("depth", "rgb")])
def test_images_of_one_memory(shared):
    memory = np.zeros((1, 4, 4, 4), np.float32)
    arrays = {"rgb": np.zeros((1, 4, 4, 3)), "alpha": np.zeros((1, 4, 4))}
    arrays["depth"] = arrays["alpha"].copy()
    arrays |= {name: memory[..., :3] if name == "rgb" else memory[..., 0] for name in shared}
    with pytest.raises(InputError, match="rgb, alpha and depth must be arrays of their own"):
        check_out(Renders(**arrays))
