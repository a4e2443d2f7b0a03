import pytest

from geolrm import InputError
from geolrm.engine.system.output import check_output


def test_two_kinds_are_known():
    check_output("numpy")
    check_output("device")
    with pytest.raises(InputError, match="output is 'torch'; it must be 'numpy' or 'device'"):
        check_output("torch")
