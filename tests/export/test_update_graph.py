"""The update network as a graph of a bundle: it computes what torch does."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from samples.photographed_ball import ball, photographs, ring
from samples.tiny_models import one_layer, tiny_config, tiny_model, write_tiny

from geolrm import BundleError, Engine
from geolrm.engine.bundle import manifest as manifests
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.bundle.manifest import MANIFEST_NAME
from geolrm.engine.refinement.budget import Budget
from geolrm.engine.refinement.refine import refine_within
from geolrm.export.checkpoint import load_checkpoint
from geolrm.export.model import SplatUpdateConfig
from geolrm.export.trace import trace_learned

CONFIG = SplatUpdateConfig(width=12, shared=4, steps=3, views=2, cell_channels=3)


@pytest.fixture(scope="module")
def model():
    config = one_layer(tiny_config(batch_norm=False))
    reconstruction = replace(config.reconstruction, use_sh=False)
    closing = replace(CONFIG, steps=1, views=9)
    made = tiny_model(
        replace(config, reconstruction=reconstruction, update=CONFIG, closing=closing)
    )
    for network in (made.splat_update, made.splat_closing):
        torch.nn.init.normal_(network.cell_convolutions.tell.weight, std=0.3)
    return made


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def bundle(request, model, tmp_path_factory):
    return write_tiny(model, tmp_path_factory.mktemp("update") / request.param, request.param)


def arguments(count, seed=0):
    generator = np.random.default_rng(seed)
    array = lambda *shape: generator.normal(size=shape).astype(np.float32)  # noqa: E731
    start = 0.3 * array(14, count)
    gradient = array(14, count)
    return {
        "splats": start + 0.01 * array(14, count),
        "start": start,
        "gradient": gradient,
        "magnitude": np.abs(gradient) + 0.1,
        "seen": generator.integers(0, 4, count).astype(np.float32),
        "weight": generator.uniform(0, 9, count).astype(np.float32),
        "mean": array(14, count),
        "square": array(14, count) ** 2,
        "views": np.array(3, np.float32),
        "step": np.array(2, np.float32),
        "progress": np.array(2 / 3, np.float32),
    }


def test_each_input_is_an_input_of_the_graph(model):
    graphs = trace_learned(model)
    assert list(graphs) == ["update", "closing"]
    for graph in graphs.values():
        assert {value.name for value in graph.graph.input} == set(arguments(1))
    assert not trace_learned(tiny_model(one_layer(tiny_config())))


@pytest.mark.parametrize("count", [1, 2, 777])
@pytest.mark.parametrize(("name", "steps"), [("update", (3, 2)), ("closing", (1, 9))])
def test_the_graph_computes_what_torch_does(bundle, name, steps, count):
    stored = load_checkpoint(bundle / "weights.safetensors")[0]
    assert stored.config.update == CONFIG and stored.config.closing.steps == 1
    inputs = arguments(count)
    with torch.no_grad():
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        expected = getattr(stored, f"splat_{name}")(**tensors)
    learned = getattr(Engine(bundle, threads=1)._learned, name)
    assert (learned.steps, learned.views) == steps
    outputs = {n: np.empty((14, count), np.float32) for n in ("moved", "new_mean", "new_square")}
    learned.graph.run(inputs, outputs)
    for got, wanted in zip(outputs.values(), expected, strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=0, atol=2e-5)


def test_its_steps_are_the_same_bits_for_any_number_of_threads(bundle):
    splats, views = ball(), photographs(ball(), ring())
    budget = replace(Budget.exactly(2), learned=64)
    made = []
    for threads in (1, 2):
        learned = Engine(bundle, threads=threads)._learned
        made.append(refine_within(splats, views, budget, learned=learned, threads=threads)[0])
    for name in ("means", "opacities", "scales", "quats", "colors"):
        one, two = (getattr(gaussians, name) for gaussians in made)
        np.testing.assert_array_equal(one, two, err_msg=name)
    assert not np.array_equal(made[0].means, splats.means)


@pytest.mark.parametrize("name", ["update", "closing"])
def test_a_manifest_whose_network_is_not_among_its_files_is_refused(bundle, name, tmp_path):
    raw = (bundle / MANIFEST_NAME).read_bytes()
    manifest = manifests.decode(raw)
    entry = msgspec.structs.replace(manifest.learned[name], graph="gone.onnx")
    lost = msgspec.structs.replace(manifest, **{name: entry})
    for file in bundle.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / MANIFEST_NAME).write_bytes(manifests.encode(lost))
    wanted = f"the {name} network is in 'gone.onnx', which is not among the files"
    with pytest.raises(BundleError, match=wanted):
        Bundle.open(tmp_path)


def test_bundles_from_before_there_were_any_keep_their_checksum(bundles):
    raw = (bundles["token"] / MANIFEST_NAME).read_bytes()
    manifest = manifests.decode(raw)
    older = raw
    for name in ("update", "closing"):
        assert getattr(manifest, name) is None
        older = older.replace(f' "{name}": null,\n'.encode(), b"")
    assert manifests.decode(older) == manifest and len(older) < len(raw)
    assert manifests.digest(manifests.decode(older)) == manifest.checksum
