import numpy as np

from geolrm.engine.formats.light import linear


def test_srgb_becomes_linear_light():
    given = np.array([-1, 0, 0.04045, 0.5, 1, 2])
    np.testing.assert_allclose(linear(given), [0, 0, 0.0031308, 0.214041, 1, 1], atol=1e-6)
