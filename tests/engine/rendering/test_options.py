"""One record of options: what it takes, and that both rasterizers read the same of it."""

import dataclasses

import numpy as np
import pytest

from geolrm import InputError
from geolrm.engine.rendering.options import RenderOptions


def test_equal_options_are_equal_and_show_what_was_given():
    options = RenderOptions(background=(0, 0, 0), antialiased=True)
    assert options == RenderOptions((0, 0, 0), antialiased=True) != RenderOptions()
    assert repr(options) == (
        "RenderOptions(background=(0, 0, 0), near=0.01, eps2d=0.3, alpha_max=0.99, "
        "antialiased=True)"
    )


def test_a_changed_copy_is_checked_again():
    options = RenderOptions()
    changed = dataclasses.replace(options, near=0.2)
    assert changed.parameters is not options.parameters
    with pytest.raises(InputError, match=r"alpha_max is 2; it must lie in \(0, 1\)"):
        dataclasses.replace(options, alpha_max=2)


@pytest.mark.parametrize("color", [[0.2, 0.5, 1], np.array([0.2, 0.5, 1], np.float32)])
@pytest.mark.parametrize("switch", [True, np.bool_(True)])
def test_numpy_values_are_taken(color, switch):
    RenderOptions(background=color, near=np.float32(0.1), antialiased=switch)
