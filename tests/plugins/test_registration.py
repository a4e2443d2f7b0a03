from types import SimpleNamespace

import pytest

from geolrm.plugins import registration


@pytest.fixture
def defined(monkeypatch):
    calls = []
    for plugin in registration.PLUGINS:
        monkeypatch.setattr(plugin, "define", lambda *given, **options: calls.append(given[1:]))
    monkeypatch.setattr(registration, "version", lambda: "a hash nvrtc 13.0")
    return calls


def test_each_plugin_is_defined_for_the_gpu_once(defined):
    plugin = SimpleNamespace(op=SimpleNamespace())
    assert registration.register(plugin, "sm_89") == "a hash nvrtc 13.0"
    names = [f"geolrm::{each.NAME}" for each in registration.PLUGINS]
    assert defined == [(name, "compute_89") for name in names]
    known = {each.NAME: object() for each in registration.PLUGINS}
    plugin.op.geolrm = SimpleNamespace(**known)
    registration.register(plugin, "sm_89")
    assert len(defined) == len(names)


def test_the_version_follows_the_kernels(monkeypatch):
    monkeypatch.setattr(registration, "compiler_version", lambda: "13.0")
    versions = []
    for text in ("a", "b"):
        monkeypatch.setattr(registration.sources, "fingerprint", lambda name, text=text: text)
        registration.version.cache_clear()
        versions.append(registration.version())
    registration.version.cache_clear()
    assert versions[0] != versions[1]
    assert all(version.endswith(" nvrtc 13.0") and len(version) == 27 for version in versions)
