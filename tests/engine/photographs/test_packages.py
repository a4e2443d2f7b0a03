"""What is missing of the extra is a matter of the user's."""

import pytest

from geolrm import InputError
from geolrm.engine.photographs.packages import need


def test_what_is_installed_is_not_refused():
    need("numpy", "counting")


def test_what_is_missing_is_one_sentence(monkeypatch):
    monkeypatch.setattr("geolrm.engine.system.extras.installed_version", lambda package: None)
    with pytest.raises(InputError) as raised:
        need("av", "reading .mp4", "give its frames as images")
    assert str(raised.value) == (
        "reading .mp4 needs PyAV, which is not installed; run: pip install 'geolrm[photos]', or "
        "give its frames as images"
    )
