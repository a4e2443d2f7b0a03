"""Which photographs are worth matching with each other, from few strong features of each."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

STRONGEST = 512  # features of a photograph that vote
RATIO = 0.8  # of the distance to the best and to the second best feature
BEST = 4  # partners that each photograph is matched with, whatever their votes
MOST = 12  # partners that it asks for at most
STANDING_OUT = 1.6  # votes, in those of a chance pair, that are worth a match
FOLLOWING = 2  # photographs taken next in order, of which some usually overlap
WEAK = 4  # confirmed partners, below which a photograph hangs by a thread
STRONG = 100  # confirmed matches of a pair that needs no more
WEAK_PARTNERS = 16  # that a photograph outside the model is matched with


def vote(
    descriptors: Sequence[NDArray[np.uint8]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.int64]:
    """Count the features of each pair that choose each other, clearly.

    Args:
        descriptors: [F, 128] of each photograph, the strongest.
        progress: Takes how much is done, of how much.

    Returns:
        [N, N], symmetric, zero on the diagonal.
    """
    unit = []
    for each in descriptors:
        floats = each.astype(np.float32)
        unit.append(floats / np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), 1e-6))
    count = len(unit)
    votes = np.zeros((count, count), np.int64)
    for first in range(count):
        for second in range(first + 1, count):
            votes[first, second] = votes[second, first] = _agreeing(unit[first], unit[second])
        progress(first + 1, count)
    return votes


def choose_pairs(votes: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Choose the pairs to match: those that stand out, and what holds all of them together.

    Each photograph has its best partners, the next ones in order, and as many others as stand
    out; the best pairs between what then is still apart join it.
    """
    count = len(votes)
    outstanding = _outstanding(votes)
    chosen = np.zeros((count, count), bool)
    for one in range(count):
        order = np.argsort(-outstanding[one], kind="stable")[: min(MOST, count - 1)]
        keep = (np.arange(len(order)) < BEST) | (outstanding[one, order] > STANDING_OUT)
        chosen[one, order[keep]] = True
        chosen[one, [(one + step) % count for step in range(1, FOLLOWING + 1)]] = True
    chosen |= chosen.T
    np.fill_diagonal(chosen, False)
    _join(chosen, outstanding)
    return _listed(chosen)


def weak_pairs(
    verified: NDArray[np.int64],
    tried: Sequence[tuple[int, int]],
    votes: NDArray[np.int64],
    outside: NDArray[np.bool_],
) -> list[tuple[int, int]]:
    """Choose the pairs that are worth guided matching: those that weak photographs hang by.

    Guided matching looks for a feature along the line that it must lie on. It finds more matches
    of pairs that have some, and costs several times as much.

    Args:
        verified: [N, N] matches that geometry confirmed.
        tried: Pairs that were matched; those without a confirmed match gain nothing.
        votes: [N, N], of :func:`vote`.
        outside: [N], which photographs are not in the best model.
    """
    linked = verified > 0
    weak = outside | (linked.sum(axis=1) < WEAK)
    chosen = linked & (verified < STRONG) & weak[:, None]
    outstanding = _outstanding(votes)
    for one in np.flatnonzero(outside):
        new = np.zeros(len(votes), bool)
        new[np.argsort(-outstanding[one], kind="stable")[:WEAK_PARTNERS]] = True
        new |= linked[linked[one]].any(axis=0)  # the neighbours of those that it is seen with
        for first, second in tried:
            if one in (first, second):
                new[first + second - one] = False
        chosen[one] |= new | linked[one]
    chosen |= chosen.T
    np.fill_diagonal(chosen, False)
    return _listed(chosen)


def closing_pairs(
    verified: NDArray[np.int64], tried: Sequence[tuple[int, int]], votes: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """Choose more pairs: partners of partners, and for lonely photographs whatever is left.

    Args:
        verified: [N, N] matches that geometry confirmed.
        tried: Pairs that were matched.
        votes: [N, N], of :func:`vote`.
    """
    linked = verified > 0
    near = (linked.astype(np.int64) @ linked.astype(np.int64)) > 0
    count = len(votes)
    lonely = linked.sum(axis=1) < 3
    for one in np.flatnonzero(lonely):
        near[one, np.argsort(-votes[one], kind="stable")[:24]] = True
    near |= near.T
    for first, second in tried:
        near[first, second] = near[second, first] = False
    near[np.arange(count), np.arange(count)] = False
    return _listed(near)


def _outstanding(votes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide votes by those of a usual pair of the two; -1 on the diagonal."""
    usual = np.maximum(np.median(votes, axis=1), 1.0)
    outstanding = votes / np.sqrt(usual[:, None] * usual[None])
    np.fill_diagonal(outstanding, -1.0)
    return outstanding


def _agreeing(first: NDArray[np.float32], second: NDArray[np.float32]) -> int:
    if min(len(first), len(second)) < 2:
        return 0
    likeness = first @ second.T
    best = likeness.argmax(axis=1)
    rows = np.arange(len(first))
    mutual = likeness.argmax(axis=0)[best] == rows
    nearest = likeness[rows, best].copy()
    likeness[rows, best] = -1.0
    # Of unit vectors, the squared distance is 2 - 2 cos.
    clear = (1 - nearest) < RATIO**2 * (1 - likeness.max(axis=1))
    return int((mutual & clear).sum())


def _join(chosen: NDArray[np.bool_], outstanding: NDArray[np.float64]) -> None:
    """Add the best pair between groups until there is one group."""
    while True:
        group = np.zeros(len(chosen), bool)
        group[:1] = True
        while (grown := group | chosen[group].any(axis=0)).sum() > group.sum():
            group = grown
        if group.all():
            return
        between = np.where(group[:, None] & ~group[None], outstanding, -2.0)
        first, second = np.unravel_index(int(between.argmax()), between.shape)
        chosen[first, second] = chosen[second, first] = True


def _listed(chosen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in np.argwhere(np.triu(chosen, 1))]
