"""What a caller may ask is checked at once."""

import pytest

from geolrm import InputError
from geolrm.engine.photographs import PhotographOptions


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_photos": 2}, "--max-photos is 2; a capture needs at least 3: give more"),
        ({"max_side": 100}, "--max-side is 100; give 256 to 8192 pixels"),
        ({"masks": "all"}, "--masks is 'all'; give auto, rembg, none"),
        ({"threads": 0}, "--threads is 0; give 1 or more"),
        ({"seed": -1}, "--seed is -1; give 0 to 2147483647"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(InputError) as raised:
        PhotographOptions(**given)
    assert str(raised.value) == said


def test_threads_default_to_the_cores():
    assert PhotographOptions(threads=3).cores == 3 and PhotographOptions().cores >= 1
