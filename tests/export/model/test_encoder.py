import numpy as np
import pytest
import torch
from harness.data import DATA
from samples.tiny_models import tiny_config

from geolrm import Cameras
from geolrm.export.model.encoder import ImageEncoder, resample_position_embedding

VECTORS = np.load(DATA / "conformance" / "unit_vectors.npz")


def vector(name):
    return torch.from_numpy(VECTORS[name])


@pytest.mark.parametrize("size", [224, 448, 504, 518, 560])
def test_position_embedding_follows_the_pinned_rule(size):
    resampled = resample_position_embedding(vector("pos518"), size // 14)
    np.testing.assert_allclose(resampled, VECTORS[f"pos_{size}_tf4341"], atol=1e-6)


def test_levels_follow_the_image_size():
    config = tiny_config()
    encoder = ImageEncoder(config.encoder).eval()
    cameras = Cameras.orbit([0, 90], 10, 1.8, 50)
    poses = (torch.from_numpy(a).float() for a in (cameras.c2w, cameras.intrinsics))
    with torch.inference_mode():
        features = encoder(torch.rand(2, 3, 56, 56), *poses)
    rows = sum(height * width for height, width in config.encoder.level_shapes(56))
    assert features.shape == (2, rows, config.encoder.feature_dim) and rows == 14 * 14 + 8 * 8


def test_views_are_encoded_each_for_itself():
    encoder = ImageEncoder(tiny_config().encoder).eval()
    cameras = Cameras.orbit([0, 90, 200], 10, 1.8, 50)
    c2w, intrinsics = (torch.from_numpy(a).float() for a in (cameras.c2w, cameras.intrinsics))
    images = torch.rand(3, 3, 56, 56)
    with torch.inference_mode():
        together = encoder(images, c2w, intrinsics)
        alone = encoder(images[1:2], c2w[1:2], intrinsics[1:2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-5)
