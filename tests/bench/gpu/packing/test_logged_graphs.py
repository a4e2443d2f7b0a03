import numpy as np
import onnx
import onnxruntime as ort
import pytest
from samples.tiny_models import tiny_config

from geolrm.bench.gpu.packing import logged_graphs
from geolrm.export.model import released


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    return logged_graphs.write_graphs(folder, [("tiny", tiny_config(), ("fp16", "fp32"))])


def test_every_segment_of_each_precision_is_written_without_convolutions(files):
    names = [path.name for path in files]
    assert len(names) == len(set(names)) and {name.split(".")[1] for name in names} == {
        "fp16", "fp32",
    }  # fmt: skip
    assert any("encoder" in name for name in names)
    for path in files:
        kinds = {node.op_type for node in onnx.load(path).graph.node}
        assert not kinds & {"Conv", "ConvTranspose", "DeformableCrossAttention"}


def test_what_is_left_of_the_graphs_runs(files):
    """With zeros, for any number of views and anchors; the launch log is given the same."""
    for path in files:
        if ".fp16." in path.name:
            continue  # not every operator has a kernel of half precision on the CPU
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for sizes in ((1, 1), (2, 7)):
            given = logged_graphs.feeds(onnx.load(path), *sizes)
            inputs = {name: np.zeros(shape, kind) for name, (kind, shape) in given.items()}
            outputs = session.run(None, inputs)
            assert all(np.size(one) for one in outputs), path.name


def test_layers_are_few_and_as_wide_as_ever():
    full, config = released("token"), logged_graphs.shallow(released("token"))
    assert config.reconstruction.transformer.num_layers == 2
    assert config.proposal.transformer.num_layers == 2 and config.encoder.num_layers == 2
    assert config.reconstruction.transformer.dim == full.reconstruction.transformer.dim
    assert [name for name, _, _ in logged_graphs.configurations()] == ["released", "mini"]
