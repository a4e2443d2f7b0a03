"""A bundle against the torch model, stage by stage."""

import pytest
from samples.tiny_models import tiny_config, tiny_model

from geolrm import VerificationError
from geolrm.export import verification


@pytest.mark.parametrize("variant", ["token", "head"])
def test_verification_passes_on_the_same_weights(bundles, models, shoe, variant):
    results = verification.verify(bundles[variant], models[variant], shoe)
    assert {r.stage for r in results} == {
        "features (proposal)", "features (reconstruction)", "occupancy logits", "means",
        "opacities", "scales", "quats", "colors", "occupancy",
    }  # fmt: skip
    by_stage = {r.stage: r for r in results}
    assert by_stage["means"].gate == "max abs <= 0.0001"
    assert by_stage["means"].max_abs <= 1e-4
    assert by_stage["colors"].cosine > 0.999999
    assert by_stage["occupancy"].gate == "IoU >= 0.999"


def test_verification_fails_on_other_weights(bundles, models, shoe):
    other = tiny_model(tiny_config())
    other.lrm_generator.renderer.latent_decoder[2].bias += 0.01
    with pytest.raises(VerificationError, match=r"differ from the torch model in \d of 9 stages"):
        verification.verify(bundles["token"], other, shoe)
