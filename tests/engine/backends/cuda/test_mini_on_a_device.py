import numpy as np
import pytest
from doubles.device import use_gpu_double
from samples.gpu_bundles import write_gpu_bundle

from geolrm import Engine
from geolrm.export.checkpoint import load_checkpoint


@pytest.mark.long
def test_mini_in_half_precision_equals_the_cpu(monkeypatch, tmp_path, shoe):
    use_gpu_double(monkeypatch, packages=("onnxruntime-gpu",))
    model, *_ = load_checkpoint("mini")
    folder = write_gpu_bundle(model, tmp_path / "mini", "fp16", name="mini")
    chosen = shoe.subset(shoe.cameras.spread(2))
    options = {"max_tokens": 64, "refine_steps": 0}
    expected = Engine(folder, backend="onnxruntime").run(chosen.images, chosen.cameras, **options)
    engine = Engine(folder)
    assert engine.backend == "cuda"
    scene = engine.run(chosen.images, chosen.cameras, **options)
    np.testing.assert_allclose(scene.logits, expected.logits, atol=1e-2)
    given = engine.run(chosen.images, chosen.cameras, anchors=expected.anchors, refine_steps=0)
    for field in ("means", "opacities", "scales", "quats", "colors"):
        got, wanted = (getattr(s.gaussians, field) for s in (given, expected))
        np.testing.assert_allclose(got, wanted, atol=5e-3)
        assert np.abs(got - wanted).mean() < 2e-4
