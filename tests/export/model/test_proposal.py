from dataclasses import replace

import numpy as np
import pytest
import torch
from samples.tiny_models import tiny_config, tiny_model

from geolrm import Cameras
from geolrm.export.model import CueConfig
from geolrm.export.model.geometry import projection_matrices


@pytest.mark.parametrize("cues", [False, True])
def test_occupancy_of_the_fine_grid(cues):
    config = tiny_config()
    if cues:
        config = replace(config, shared_encoder=True, cues=CueConfig(volume_channels=8))
    model = tiny_model(config)
    cameras = Cameras.orbit([0, 120], 10, 1.8, 50)
    c2w, intrinsics = (torch.from_numpy(a).float() for a in (cameras.c2w, cameras.intrinsics))
    features, _ = model.encode(torch.rand(2, 3, 56, 56), c2w, intrinsics)
    foreground = torch.rand(2, 4, 56, 56)
    made = model.propose(features, projection_matrices(intrinsics, c2w), foreground)
    assert made.logits.shape == (8, 8, 8) and np.isfinite(made.logits).all()
    assert (made.volume is None) is not cues
    if cues:
        assert made.volume.shape == (1, 9, 8, 8, 8)
        assert torch.equal(made.volume[0, -1], made.logits)


def test_anchors_are_the_centres_of_the_coarse_grid():
    proposal = tiny_model(tiny_config()).serializer
    assert proposal.anchors.shape == (2**3, 3)
    assert proposal.anchors.abs().max() <= 0.5
    assert len({tuple(row) for row in proposal.rope_index.tolist()}) == 8
