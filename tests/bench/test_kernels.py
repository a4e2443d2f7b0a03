import numpy as np

from geolrm.bench import kernels


def test_copies_start_on_a_cache_line():
    for dtype in (np.float32, np.float16):
        array = np.arange(7, dtype=dtype)
        copy = kernels.aligned(array)
        assert copy.ctypes.data % 64 == 0 and copy.dtype == dtype
        np.testing.assert_array_equal(copy, array)


def test_points_of_an_ellipsoid_fall_into_every_view():
    reference = kernels.project_surface(np.random.default_rng(0), 200)
    assert reference.shape == (kernels.VIEWS, 200, 2) and reference.dtype == np.float32
    inside = (reference > 0) & (reference < 1)
    assert inside.all(axis=-1).mean() > 0.9
