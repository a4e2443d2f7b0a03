import numpy as np
import pytest
from samples.gaussians import random_gaussians

from geolrm import InputError
from geolrm.engine.formats import splat


def test_a_row_is_32_bytes_and_comes_back_up_to_a_step():
    splats = random_gaussians()
    content = splat.encode(splats)
    assert len(content) == 32 * len(splats)
    read = splat.decode(content, "a").gaussians
    np.testing.assert_array_equal(read.means, splats.means)
    np.testing.assert_array_equal(read.scales, splats.scales)
    np.testing.assert_allclose(read.colors, splats.colors, atol=0.51 / 255)
    np.testing.assert_allclose(read.opacities, splats.opacities, atol=0.51 / 255)
    np.testing.assert_allclose(read.quats, splats.quats, atol=0.02)
    assert content[:12] == splats.means[0].astype("<f4").tobytes()
    assert content[28] == round(splats.quats[0, 0] * 128 + 128)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x" * 33, "a has 33 bytes; a .splat file has 32 for each splat: it is truncated"),
        (b"ply\n" + b"x" * 28, "a is a PLY file; give it the suffix .ply"),
    ],
)
def test_what_cannot_be_such_a_file(content, message):
    with pytest.raises(InputError, match=message):
        splat.decode(content, "a")
