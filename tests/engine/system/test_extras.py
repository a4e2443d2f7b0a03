import re
import tomllib
from pathlib import Path

import pytest

from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system import extras
from geolrm.engine.system.extras import EXTRAS, installed_version, require

ROOT = Path(__file__).parents[3]


def test_versions():
    assert installed_version("numpy") is not None
    assert installed_version("a-package-of-nobody") is None


def test_every_package_is_in_the_extra_that_is_named():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = declared["optional-dependencies"]
    for package, extra in EXTRAS.items():
        names = {re.split("[\\[<>=]", text)[0] for text in requirements[extra]}
        if package == "cuda-bindings":
            package = "cuda-python"  # of which it is a part
        assert package in names, (package, extra)


@pytest.mark.parametrize(
    ("package", "options", "sentence"),
    [
        ("scipy", {},
         "a test needs scipy, which is not installed; run: pip install 'geolrm[eval]'"),
        ("torch", {"extra": "lpips"},
         "a test needs torch, which is not installed; run: pip install 'geolrm[lpips]'"),
        ("av", {"instead": "give images"},
         "a test needs PyAV, which is not installed; run: pip install 'geolrm[video]', or give "
         "images"),
    ],
)  # fmt: skip
def test_a_missing_package_is_one_sentence(monkeypatch, package, options, sentence):
    require("numpy", "a test")
    monkeypatch.setattr(extras, "installed_version", lambda name: None)
    with pytest.raises(GeoLRMError) as error:
        require(package, "a test", **options)
    assert type(error.value) is GeoLRMError and str(error.value) == sentence
