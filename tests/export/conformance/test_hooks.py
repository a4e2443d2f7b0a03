import torch
from samples.tiny_models import tiny_config, tiny_model

from geolrm import Cameras
from geolrm.export.conformance.hooks import recording


def test_arrays_are_recorded_while_it_is_open():
    model, record = tiny_model(tiny_config()), {}
    cameras = Cameras.orbit([0, 120], 10, 1.7, 50)
    poses = [torch.from_numpy(a).float() for a in (cameras.c2w, cameras.intrinsics)]
    with torch.inference_mode():
        with recording(model, "ser", "gen.token", record):
            result = model(torch.rand(2, 3, 56, 56), *poses)
        known = {name: tensor.clone() for name, tensor in record.items()}
        model(torch.rand(2, 3, 56, 56), *poses)
    assert all(torch.equal(record[name], tensor) for name, tensor in known.items())
    count = len(result.anchors)
    assert record["gen.token.latent_final"].shape == (1, count, 24)
    assert record["gen.token.block0.ca_per_view"].shape == (2, count, 24)
    assert record["ser.block0.ca_value"].shape[0] == 2
    assert record["ser.upsample_raw"].shape == (1, 8, 64)
    offsets = record["gen.token.block0.ca_offsets_raw"]
    assert len(offsets) == 2 and torch.equal(offsets[0], offsets[1])
    assert {"ser.latent0", "ser.latent1", "gen.token.gs_raw"} <= set(record)
