import numpy as np
import pytest

from geolrm import Cameras, InputError
from geolrm.training.data.posed_object import PosedObject


def fields(**changes):
    return {
        "rgba": np.zeros((3, 8, 8, 4), np.uint8),
        "depth": np.zeros((3, 8, 8), np.float32),
        "cameras": Cameras.orbit([0, 90, 180], 10, 1.8, 50),
        "points": np.zeros((5, 3), np.float32),
        **changes,
    }


def test_a_record_says_its_sizes():
    posed = PosedObject(**fields())
    assert repr(posed) == "PosedObject(3 views, 8 px, 5 points)"
    assert (len(posed), posed.size) == (3, 8)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("rgba", np.zeros((3, 8, 8, 4)), r"rgba is float64 \[3, 8, 8, 4\]; it must be uint8"),
        ("rgba", np.zeros((2, 8, 8, 4), np.uint8), r"must be uint8 \[3, 8, 8, 4\] for 3 cameras"),
        ("depth", np.zeros((3, 8, 9), np.float32), r"depth is float32 \[3, 8, 9\]"),
        ("points", np.zeros((5, 2), np.float32), r"points is float32 \[5, 2\]; .* \[5, 3\]"),
    ],
)
def test_what_does_not_fit_is_named(name, array, message):
    with pytest.raises(InputError, match=message):
        PosedObject(**fields(**{name: array}))
