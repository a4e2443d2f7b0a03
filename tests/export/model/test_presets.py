"""The named configurations."""

from geolrm.export.model import mini, released


def test_presets():
    assert released().encoder.level_shapes(448) == ((112, 112), (64, 64))
    assert released().padded_tokens == 8192 and mini().padded_tokens is None
    assert released().proposal.transformer.ffn_dim == 1024
    assert released().reconstruction.transformer.ffn_dim == 2048
