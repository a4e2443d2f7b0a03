"""The plan without a bundle is the plan of the bundle."""

import functools
from dataclasses import replace

import pytest
from samples.gpu_bundles import write_gpu_bundle
from samples.tiny_models import tiny_config, tiny_model

from geolrm.bench.gpu import memory_parts
from geolrm.engine.backends.cuda.memory_plan import MemoryPlan, plan_memory
from geolrm.engine.bundle.bundle import Bundle

SETTINGS = ((3, 512), (2, 40))


def deeper(layers, channels=(12, 12)):
    """The tiny model with so many layers in each transformer, and so many channels in a head."""
    config = tiny_config("token")

    def changed(part, channels):
        block = part.transformer
        block = replace(block, num_layers=layers, dim=channels * block.num_heads)
        return replace(part, transformer=block)

    return replace(
        config,
        proposal=changed(config.proposal, channels[0]),
        reconstruction=changed(config.reconstruction, channels[1]),
    )


@pytest.mark.long  # two minutes
def test_the_parts_are_those_of_a_bundle(tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    config = deeper(3, (24, 48))
    folder = write_gpu_bundle(tiny_model(config), tmp_path / "bundle", "fp16")
    manifest = Bundle.open(folder).manifest
    for setting, plan in zip(SETTINGS, memory_parts.planned(config, SETTINGS), strict=True):
        wanted = plan_memory(manifest, manifest.gpu, *setting)
        assert replace(plan, weights=0) == replace(wanted, weights=0)
        assert 0.5 < plan.weights / wanted.weights < 1.1  # the file also has constants and a header


@pytest.mark.parametrize(
    ("precision", "channels", "sessions"),
    [
        ("fp32", (12, 12), 1 + 1),
        ("fp16", (12, 48), 1 + 2),  # self-attention of 48 channels a head is cut out as well
    ],
)
@pytest.mark.long
def test_more_layers_are_more_weights_and_more_sessions(monkeypatch, precision, channels, sessions):
    """``sessions`` is what a layer of the proposal and one of the reconstruction add."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    few, many = (deeper(layers, channels) for layers in (2, 7))
    monkeypatch.setattr(memory_parts, "weight_bytes", lambda config, half: 0)
    monkeypatch.setattr(memory_parts, "_artifact", functools.cache(memory_parts._artifact))
    (small,), (large,) = (memory_parts.planned(c, [(3, 64)], precision) for c in (few, many))
    assert large.libraries - small.libraries == sessions * 5 * memory_parts.handle_bytes()
    assert replace(large, libraries=0) == replace(small, libraries=0)


def test_a_row_for_each_part():
    plan = MemoryPlan(1_000_000, 2_000_000, 0, 0, 0, 0, 4_000_000)
    lines = memory_parts.table([(21, 16384)], [plan]).splitlines()
    assert lines[0] == "| MB | V = 21, N = 16384 |"
    assert lines[2] == "| weights | 1 |" and lines[-1] == "| total | 7 |"
