from types import SimpleNamespace

from geolrm.plugins import registration


class PluginDouble:
    """Stands in for ``tensorrt.plugin``: it keeps what is registered, and runs nothing."""

    def __init__(self):
        self.op = SimpleNamespace()
        self.shapes, self.kernels, self.lazy = {}, {}, []

    def register(self, name, *, lazy_register):
        self.lazy.append(lazy_register)
        return lambda function: self.shapes.setdefault(name, function)

    def aot_impl(self, name):
        return lambda function: self.kernels.setdefault(name, function)


def test_each_plugin_is_registered_for_the_gpu_once(monkeypatch):
    asked = []
    for each in registration.PLUGINS:

        def callbacks(plugin, arch, name=each.NAME):
            asked.append((name, arch))
            return f"shapes of {name}", f"kernel of {name}"

        monkeypatch.setattr(each, "callbacks", callbacks)
    monkeypatch.setattr(registration, "version", lambda: "a hash nvrtc 13.0")
    plugin, names = PluginDouble(), [each.NAME for each in registration.PLUGINS]
    assert registration.register(plugin, "sm_89", lazy=True) == "a hash nvrtc 13.0"
    assert asked == [(name, "compute_89") for name in names] and plugin.lazy == [True] * len(names)
    assert plugin.shapes == {f"geolrm::{name}": f"shapes of {name}" for name in names}
    assert plugin.kernels == {f"geolrm::{name}": f"kernel of {name}" for name in names}
    plugin.op.geolrm = SimpleNamespace(**dict.fromkeys(names))
    registration.register(plugin, "sm_89")
    assert len(asked) == len(plugin.lazy) == len(names)


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
