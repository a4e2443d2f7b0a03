"""The choice of pairs, against plain loops and on a ring whose overlaps are known."""

import numpy as np
import pytest

from geolrm.engine.photographs.pairs import (
    BEST,
    STRONG,
    WEAK_PARTNERS,
    choose_pairs,
    closing_pairs,
    vote,
    weak_pairs,
)


def slow_votes(first, second):
    """Count mutual best matches whose distance is clearly below that to the second best."""
    a = first / np.linalg.norm(first.astype(float), axis=1, keepdims=True)
    b = second / np.linalg.norm(second.astype(float), axis=1, keepdims=True)
    count = 0
    for i in range(len(a)):
        distances = np.linalg.norm(b - a[i], axis=1)
        j = int(distances.argmin())
        back = int(np.linalg.norm(a - b[j], axis=1).argmin())
        second_best = np.sort(distances)[1]
        count += back == i and distances[j] < 0.8 * second_best
    return count


def test_votes_are_those_of_the_plain_rule():
    rng = np.random.default_rng(0)
    shared = rng.integers(0, 255, (30, 128))
    sets = []
    for _ in range(3):
        own = rng.integers(0, 255, (20, 128))
        both = np.vstack([shared + rng.integers(-20, 20, shared.shape), own])
        sets.append(np.clip(both, 0, 255).astype(np.uint8))
    told = []
    votes = vote(sets, lambda *at: told.append(at))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert votes[a, b] == votes[b, a] == slow_votes(sets[a], sets[b]) >= 28
    assert votes.diagonal().tolist() == [0, 0, 0] and told[-1] == (3, 3)


def test_a_photograph_without_features_has_no_votes():
    some = np.random.default_rng(0).integers(0, 255, (9, 128)).astype(np.uint8)
    assert vote([some, some[:0], some[:1]]).sum() == 0


def ring(count):
    """Votes of photographs around an object, of which neighbours overlap."""
    apart = np.abs(np.arange(count)[:, None] - np.arange(count)[None])
    apart = np.minimum(apart, count - apart)
    votes = np.where(apart <= 3, 100 - 25 * apart, 8)
    np.fill_diagonal(votes, 0)
    return votes


def test_a_ring_is_closed_with_far_fewer_pairs_than_all():
    pairs = set(choose_pairs(ring(60)))
    assert {(i, i + 1) for i in range(59)} | {(0, 59)} <= pairs
    assert len(pairs) < 60 * 59 / 2 / 6


def test_shuffled_photographs_have_the_same_partners():
    order = np.random.default_rng(1).permutation(40)
    votes = ring(40)[np.ix_(order, order)]
    pairs = {frozenset((order[a], order[b])) for a, b in choose_pairs(votes)}
    assert {frozenset((i, (i + 1) % 40)) for i in range(40)} <= pairs


def test_groups_that_nothing_joins_are_joined_by_their_best_pair():
    votes = np.zeros((20, 20), np.int64)
    votes[:10, :10] = votes[10:, 10:] = 50
    votes[4, 13] = votes[13, 4] = 9
    np.fill_diagonal(votes, 0)
    pairs = choose_pairs(votes)
    reached = {0}
    while grown := {b for p in pairs for a, b in (p, p[::-1]) if a in reached} - reached:
        reached |= grown
    assert reached == set(range(20))


@pytest.mark.parametrize("count", [2, 3, 4, BEST + 1])
def test_few_photographs_are_all_matched(count):
    assert len(choose_pairs(np.zeros((count, count), np.int64))) == count * (count - 1) // 2


def test_more_pairs_are_partners_of_partners_and_for_the_lonely_all():
    votes = np.zeros((30, 30), np.int64)
    verified = np.zeros((30, 30), np.int64)
    for a in range(28):
        for b in (a + 1, a + 2):
            if b < 29:
                verified[a, b] = verified[b, a] = 40
    tried = [(a, b) for a in range(28) for b in (a + 1, a + 2) if b < 29]
    more = closing_pairs(verified, tried, votes)
    assert (3, 7) in more and (3, 5) not in more and (3, 12) not in more
    assert sum(29 in pair for pair in more) >= 24  # it has no partner at all


def test_weak_pairs_of_weak_photographs_are_matched_again():
    verified = np.where(ring(30) > 8, 60, 0)  # six partners each
    tried = choose_pairs(ring(30))
    inside = np.zeros(30, bool)
    assert weak_pairs(verified, tried, ring(30), inside) == []
    for other in (8, 9, 12, 13):  # which leaves 10 with two partners
        verified[10, other] = verified[other, 10] = 0
    assert weak_pairs(verified, tried, ring(30), inside) == [(7, 10), (10, 11)]
    verified[10, 11] = verified[11, 10] = STRONG
    assert weak_pairs(verified, tried, ring(30), inside) == [(7, 10)]


def test_a_photograph_outside_is_matched_with_whatever_may_show_the_same():
    verified = np.where(ring(40) > 8, 60, 0)
    verified[20] = verified[:, 20] = 0
    verified[20, 5] = verified[5, 20] = 3 * STRONG  # as nothing but its matches tells
    outside = np.arange(40) == 20
    tried = [*choose_pairs(ring(40)), (5, 20)]
    pairs = set(weak_pairs(verified, tried, ring(40), outside))
    assert {(5, 20), (2, 20), (8, 20)} <= pairs  # however strong, and the neighbours of 5
    assert (19, 20) not in pairs and (20, 21) not in pairs  # tried, and nothing was found
    assert len({pair for pair in pairs if 20 in pair}) == len(pairs) <= WEAK_PARTNERS + 8
