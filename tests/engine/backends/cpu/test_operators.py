from geolrm.engine.backends.cpu.operators import OPERATORS
from geolrm.engine.bundle.bundle import Bundle


def test_every_operator_of_the_bundled_model_is_bound():
    artifact = Bundle.open("mini").manifest.artifact("onnxruntime")
    used = {step.operator for stage in artifact.stages.values() for step in stage.steps}
    assert used == set(OPERATORS)
