import importlib.metadata
import subprocess

from geolrm.training import version


def test_what_a_run_was_made_with():
    told = version.code_version()
    assert told["geolrm"] == importlib.metadata.version("geolrm")
    assert set(told) == {"geolrm", "commit", "torch", "python", "machine", "isa", "bf16"}


def test_without_git_the_commit_is_unknown(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert version.code_version()["commit"] == "unknown"
