"""The plan without a bundle is the plan of the bundle."""

from dataclasses import replace

from samples.gpu_bundles import write_gpu_bundle
from samples.tiny_models import tiny_config, tiny_model

from geolrm.bench.gpu import memory_parts
from geolrm.engine.backends.cuda.memory_plan import MemoryPlan, plan_memory
from geolrm.engine.bundle.bundle import Bundle

SETTINGS = ((3, 512), (2, 40))


def deeper(layers):
    """The tiny model with so many layers in each transformer."""
    config = tiny_config("token")

    def with_layers(part):
        return replace(part, transformer=replace(part.transformer, num_layers=layers))

    return replace(
        config,
        proposal=with_layers(config.proposal),
        reconstruction=with_layers(config.reconstruction),
    )


def test_the_parts_are_those_of_a_bundle(tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    config = deeper(2)
    folder = write_gpu_bundle(tiny_model(config), tmp_path / "bundle", "fp16")
    manifest = Bundle.open(folder).manifest
    for setting, plan in zip(SETTINGS, memory_parts.planned(config, SETTINGS), strict=True):
        wanted = plan_memory(manifest, manifest.gpu, *setting)
        assert replace(plan, weights=0) == replace(wanted, weights=0)
        assert 0.5 < plan.weights / wanted.weights < 1.1  # the file also has constants and a header


def test_more_layers_are_more_weights_and_more_sessions(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    few, many = deeper(2), deeper(7)
    monkeypatch.setattr(memory_parts, "weight_bytes", lambda config, half: 0)
    (small,), (large,) = (memory_parts.planned(c, [(3, 64)], "fp32") for c in (few, many))
    assert large.libraries - small.libraries == 2 * 5 * memory_parts.handle_bytes()
    assert replace(large, libraries=0) == replace(small, libraries=0)


def test_a_row_for_each_part():
    plan = MemoryPlan(1_000_000, 2_000_000, 0, 0, 0, 0, 4_000_000)
    lines = memory_parts.table([(21, 16384)], [plan]).splitlines()
    assert lines[0] == "| MB | V = 21, N = 16384 |"
    assert lines[2] == "| weights | 1 |" and lines[-1] == "| total | 7 |"
