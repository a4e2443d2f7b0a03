"""What renders are compared with."""

from dataclasses import replace

import numpy as np
from samples.photographed_ball import ball, photographs, ring

from geolrm.engine.refinement.targets import Targets

TAKEN = photographs(ball(), ring(4))


def test_they_are_the_reference_and_may_be_averaged():
    targets = Targets.of(TAKEN)
    assert (targets.size, len(targets), targets.weights) == (64, 4, None)
    np.testing.assert_array_equal(targets.alpha, TAKEN.reference[:, 3])
    small = Targets.of(TAKEN, 32)
    assert small.size == 32 and small.frame.size == (32, 32)
    np.testing.assert_allclose(
        small.alpha[2, 5, 7], TAKEN.reference[2, 3, 10:12, 14:16].mean(), rtol=1e-6
    )
    assert Targets.of(TAKEN, 48).size == 64  # does not divide it
    assert Targets.of(TAKEN, 128).size == 64


def test_a_choice_keeps_images_weights_and_cameras_together():
    weighted = Targets.of(TAKEN).weighted(np.array([1, 0.5, 1, 0.25]))
    chosen = weighted[[1, 3]]
    np.testing.assert_array_equal(chosen.alpha, weighted.alpha[[1, 3]])
    np.testing.assert_array_equal(chosen.frame.w2c, weighted.frame.w2c[[1, 3]])
    assert chosen.weights is not None
    assert chosen.weights.shape == chosen.alpha.shape
    np.testing.assert_array_equal(chosen.weights[:, 0, 0], np.float32([0.5, 0.25]))


def test_what_changes_nothing_returns_themselves():
    targets = Targets.of(TAKEN)
    assert targets.weighted(np.ones(4)) is targets
    assert targets.recolored(np.tile(np.eye(3), (4, 1, 1))) is targets


def test_weights_keep_what_is_not_valid_out():
    valid = np.ones_like(Targets.of(TAKEN).alpha)
    valid[0, :10] = 0
    targets = replace(Targets.of(TAKEN), valid=valid, weights=valid)
    weighted = targets.weighted(np.array([0.5, 1, 1, 1])).weights
    assert weighted is not None
    assert weighted[0, :10].max() == 0 and weighted[0, 10:].min() == 0.5 and weighted[1].min() == 1


def test_colours_go_through_the_matrix_of_their_view():
    matrices = np.tile(np.eye(3), (4, 1, 1))
    matrices[2] = np.diag([0.5, 1, 1])
    recolored, targets = Targets.of(TAKEN).recolored(matrices), Targets.of(TAKEN)
    np.testing.assert_array_equal(recolored.premultiplied[0], targets.premultiplied[0])
    np.testing.assert_allclose(
        recolored.premultiplied[2, ..., 0], 0.5 * targets.premultiplied[2, ..., 0], rtol=1e-6
    )
