import numpy as np
import pytest

from geolrm.engine.captures.diagnostics import image_checks
from geolrm.engine.views.silhouettes import Silhouette


def flat(level, channels=3, size=16):
    return np.full((size, size, channels), level, np.uint8)


def mask(alpha):
    return Silhouette(np.eye(4), np.eye(3), np.asarray(alpha, np.float32))


def texts(found):
    return [str(one) for one in found]


def test_images_without_alpha_must_be_on_one_colour():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    found = image_checks.diagnose_masks([flat(255), noise, flat(128)])
    (text,) = texts(found)
    assert text.startswith(
        "masks: view 1 has no alpha, and a background that is neither white nor of one colour "
        "(border at 0."
    )
    assert text.endswith(
        ", and it varies): give masks, or remove the background with --remove-background"
    )
    assert found[0].views == (1,)
    (text,) = texts(image_checks.diagnose_masks([flat(255, 4)] * 2))
    assert text.startswith("masks: all 2 views have an alpha that is opaque everywhere")
    assert image_checks.diagnose_masks([flat(255), flat(0, 4)]) == []


def test_masks_that_show_nothing_or_are_cut():
    inside = np.zeros((20, 20))
    inside[5:15, 5:15] = 1
    cut = np.zeros((20, 20))
    cut[:, 8:12] = 1
    views = [mask(inside), mask(np.zeros((20, 20))), mask(cut)]
    empty, border = image_checks.diagnose_silhouettes(views)
    assert empty.views == (1,) and "view 1 shows no object" in empty.text
    assert border.views == (2,) and "(up to 11% of the border's pixels, at most 2%)" in border.text
    assert empty.text.endswith("correct their masks, or leave them out, as geolrm run does")
    assert image_checks.diagnose_silhouettes(views[:1]) == []
    (every,) = image_checks.diagnose_silhouettes(views[1:2])
    assert every.text.endswith("make the masks again: the object must be opaque or white in them")


@pytest.mark.parametrize(("size", "few"), [(28, False), (27, True)])
def test_half_of_the_models_pixels_are_needed(size, few):
    found = image_checks.diagnose_sizes([flat(0, size=size), flat(0, size=64)], 56)
    assert bool(found) is few
    if few:
        assert found[0].text.startswith("view 0 has only 27 px; the model reads 56")
