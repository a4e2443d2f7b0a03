import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.gaussians import COUNT, random_gaussians
from samples.known_shapes import make_splats

from geolrm import InputError
from geolrm.engine.formats import spz


@pytest.mark.parametrize(("sh", "degree"), [(None, 0), (4, 1), (9, 2), (16, 3)])
def test_the_header_and_the_bytes_of_each_splat(sh, degree):
    payload = gzip.decompress(spz.encode(random_gaussians(sh)))
    assert struct.unpack_from("<4sIIBBBB", payload) == (b"NGSP", 3, COUNT, degree, 12, 0, 0)
    assert len(payload) == 16 + COUNT * (20 + 3 * spz.COEFFICIENTS[degree])


def test_attributes_come_back_up_to_their_steps():
    splats = random_gaussians()
    read = spz.decode(spz.encode(splats), "a").gaussians
    np.testing.assert_allclose(read.means, splats.means, atol=0.51 / 4096)
    np.testing.assert_allclose(read.opacities, splats.opacities, atol=0.51 / 255)
    np.testing.assert_allclose(np.log(read.scales), np.log(splats.scales), atol=0.51 / 16)
    np.testing.assert_allclose(read.colors, splats.colors, atol=0.01)
    assert np.abs((read.quats * splats.quats).sum(axis=1)).min() > 0.9999


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_rotations_keep_three_components(quat):
    quat = np.array([quat]) / np.linalg.norm(quat)
    packed = spz._smallest_three(quat.astype(np.float32))
    back = spz._quats_of_three(packed.view(np.uint8).reshape(1, 4))
    assert abs(float((back * quat).sum())) > 0.9999


@pytest.mark.parametrize(("reach", "bits"), [(100, 12), (5000, 10), (8e6, 0)])
def test_far_splats_take_bits_from_the_fraction(recwarn, reach, bits):
    means = np.array([[0, 0, 0], [reach, 0, 0.0]])
    assert spz._fraction_bits(means.astype(np.float32)) == bits
    assert len(recwarn) == (0 < bits < 12)
    with pytest.raises(
        InputError, match=r"a splat is 1e\+07 from the origin; SPZ reaches to 8388607"
    ):
        spz._fraction_bits(np.full((1, 3), 1e7, np.float32))


def test_wide_splats_are_warned_of():
    wide = make_splats(np.zeros((1, 3)), np.zeros((1, 3)), scale=5000.0)
    with pytest.warns(UserWarning, match="has a scale of 5e.03; SPZ holds at most"):
        spz.encode(wide)
