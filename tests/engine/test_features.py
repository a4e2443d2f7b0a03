import numpy as np

from geolrm.engine.features import Features


def test_views_are_joined_in_order():
    parts = [Features(np.full((n, 2, 3), n), np.full((n, 2, 3), -n)) for n in (1, 2)]
    joined = Features.join(parts, np.concatenate)
    assert joined.proposal[:, 0, 0].tolist() == [1, 2, 2]
    assert joined.reconstruction[:, 0, 0].tolist() == [-1, -2, -2]


def test_features_of_a_shared_encoder_stay_one_array():
    arrays = [np.full((n, 2, 3), n) for n in (1, 2)]
    joined = Features.join([Features(a, a) for a in arrays], np.concatenate)
    assert joined.proposal is joined.reconstruction and len(joined.proposal) == 3
