import numpy as np
import torch
from samples.tiny_models import tiny_config

from geolrm import Cameras
from geolrm.engine.geometry.voxel_grid import voxel_centres
from geolrm.export.model import CueConfig
from geolrm.export.model.geometry import project, projection_matrices
from geolrm.export.model.volume import VolumeRefinement, as_volume

GRID = 8


def test_rows_become_a_volume_with_x_slowest():
    rows = torch.arange(2 * GRID**3, dtype=torch.float32).view(GRID**3, 2)
    volume = as_volume(rows, GRID)
    assert volume.shape == (1, 2, GRID, GRID, GRID)
    assert volume[0, 1, 1, 2, 3] == rows[(1 * GRID + 2) * GRID + 3, 1]


def refine(occlusion):
    torch.manual_seed(0)
    config = tiny_config().proposal
    cues = CueConfig(volume_channels=8, occlusion=occlusion)
    network = VolumeRefinement(config, 12, cues).eval().requires_grad_(False)
    cameras = Cameras.orbit([0, 120], 10, 1.8, 50)
    projection = projection_matrices(
        *(torch.from_numpy(a).float() for a in (cameras.intrinsics, cameras.c2w))
    )
    centres = torch.from_numpy(voxel_centres(GRID).reshape(-1, 3))
    latents = torch.randn(config.queries_per_axis**3, 24)
    foreground = torch.rand(2, 4, 56, 56)
    reference = project(centres, projection)
    return network(latents, torch.randn(2, 8, 8, 12), foreground, projection, centres, reference)


def test_features_carry_the_logits_last():
    for occlusion in (False, True):
        made = refine(occlusion)
        assert made.features.shape == (1, 9, GRID, GRID, GRID)
        assert torch.equal(made.features[0, -1], made.logits)
        assert np.isfinite(made.logits).all()


def test_the_second_pass_adds_to_the_first_where_there_is_one():
    assert torch.equal(refine(False).logits, refine(False).coarse_logits)
    made = refine(True)
    assert not torch.equal(made.logits, made.coarse_logits)
