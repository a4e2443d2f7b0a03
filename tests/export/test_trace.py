"""Tracing leaves the model as it was."""

import torch

from geolrm.export import bundle_writer
from geolrm.export.trace import prepare


def test_exporting_leaves_the_model_unchanged(models):
    before = {k: v.clone() for k, v in models["token"].state_dict().items()}
    prepared = prepare(models["token"])
    assert len(prepared.serializer.encoder.deconv) == 1  # batch norm is gone in the copy
    for key, tensor in models["token"].state_dict().items():
        assert torch.equal(tensor, before[key])


def test_stages_become_graphs_with_symbolic_views_and_anchors(models):
    graphs = {graph.name: graph.model.graph for graph in bundle_writer.trace(models["token"])}
    assert list(graphs) == [
        "encoder_proposal", "encoder_reconstruction", "proposal", "reconstruction",
    ]  # fmt: skip
    for name, graph in graphs.items():
        sides = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
                 for v in graph.input}  # fmt: skip
        if name.startswith("encoder"):
            assert sides["images"] == ["views", 3, 56, 56]
        else:
            assert sides["features"] == ["views", 14 * 14 + 8 * 8, 12]
    assert sides["anchors"] == ["anchors", 3] and sides["rope_index"] == ["anchors", 3]
