import pytest
import torch
from samples.tiny_models import tiny_model
from samples.training import model_with_cues

from geolrm.training.precision import compute_in, reduce_precision, reduces

CPU = torch.device("cpu")


def test_a_precision_that_is_named_is_taken(monkeypatch):
    assert reduces("bf16", CPU) and not reduces("fp32", CPU)
    for has in (True, False):
        monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda has=has: has)
        assert reduces("auto", CPU) is has


def test_a_module_computes_in_bf16_and_gives_float32():
    layer = torch.nn.Linear(64, 8)
    x = torch.randn(5, 64)
    exact = layer(x)
    compute_in(layer, torch.bfloat16)
    rounded = layer(x)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.1


def test_geometry_stays_exact():
    model = tiny_model(model_with_cues())
    reduce_precision(model)
    for network in (model.serializer, model.lrm_generator):
        for layer in network.transformer.layers:
            attention = layer.cross_attention.deformable_attention
            assert "forward" in vars(attention.value_proj)  # replaced
            assert "forward" not in vars(attention.sampling_offsets)
    assert "forward" not in vars(model.lrm_generator.renderer)


@pytest.mark.parametrize("supported", [True, False])
def test_cuda_is_asked_whether_it_has_bf16(monkeypatch, supported):
    asked = []

    def answer(including_emulation):
        asked.append(including_emulation)
        return supported

    monkeypatch.setattr("torch.cuda.is_bf16_supported", answer)
    assert reduces("auto", torch.device("cuda")) is supported and asked == [False]
