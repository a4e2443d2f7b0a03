import pytest

from geolrm.engine.cuda import faults
from geolrm.engine.errors import GeoLRMError, InputError


def test_a_status_of_zero_gives_what_came_with_it():
    assert faults.check((0,)) == ()
    assert faults.check((0, 5, "a")) == (5, "a")


def test_a_status_that_is_an_error_is_one_sentence():
    with pytest.raises(GeoLRMError, match="^the GPU reports 719; nothing was reconstructed: start"):
        faults.check((719, None))


def test_what_cuda_raises_is_one_sentence_and_ours_passes():
    with (
        pytest.raises(GeoLRMError, match="^the GPU reports first line; nothing") as caught,
        faults.one_sentence(),
    ):
        raise RuntimeError("first line\nsecond line")
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(InputError, match="^ours$"), faults.one_sentence():
        raise InputError("ours")


def test_an_error_without_a_message_is_named_by_its_class():
    assert faults.first_line(KeyError()) == "KeyError"
    assert faults.first_line(ValueError("a\nb")) == "a"
