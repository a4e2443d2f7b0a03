"""Codebooks against their definition: the nearest value, the mean of a cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm.engine.formats import codebooks


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=250))
def test_few_values_are_kept_as_they_are(values):
    values = np.array(values, np.float32)
    book, indices = codebooks.of_values(values)
    assert book.shape == (256,) and book.dtype == np.float32 and (np.diff(book) >= 0).all()
    assert indices.dtype == np.uint8 and indices.shape == values.shape
    np.testing.assert_array_equal(book[indices], values)


SAMPLES = {
    "normal": lambda rng: rng.standard_normal(3000),
    "uniform": lambda rng: rng.random((1000, 3)),
    "two heaps and strays": lambda rng: np.concatenate(
        [rng.normal(-9, 0.1, 1500), rng.normal(4, 1e-3, 1500), [-500.0, 800.0]]
    ),
    "steps": lambda rng: rng.integers(0, 1000, 3000) / 7,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_value_gets_the_nearest_of_a_good_book(name):
    values = SAMPLES[name](np.random.default_rng(0)).astype(np.float32)
    book, indices = codebooks.of_values(values)
    flat = values.reshape(-1).astype(np.float64)
    distance = np.abs(flat[:, None] - book.astype(np.float64))
    chosen = distance[np.arange(len(flat)), indices.reshape(-1)]
    np.testing.assert_allclose(chosen, distance.min(axis=1), atol=1e-9)
    error = np.mean(chosen**2)
    # No worse than steps of equal size, and not much worse than where the slow reference ends.
    equal = np.linspace(flat.min(), flat.max(), 256)
    assert error <= np.mean(np.abs(flat[:, None] - equal).min(axis=1) ** 2) * 1.001
    assert error <= 1.15 * slow_lloyd(flat)
    np.testing.assert_array_equal(codebooks.of_values(values)[0], book)


def slow_lloyd(values):
    """Lloyd's algorithm by the definition, from quantiles, until it rests; its squared error."""
    book = np.quantile(values, (np.arange(256) + 0.5) / 256)
    for _ in range(30):
        cells = np.abs(values[:, None] - book).argmin(axis=1)
        for cell in np.unique(cells):
            book[cell] = values[cells == cell].mean()
    return np.mean(np.abs(values[:, None] - book).min(axis=1) ** 2)


def test_few_rows_stand_for_themselves():
    rows = np.random.default_rng(0).random((8, 5), np.float32)
    palette, labels = codebooks.of_rows(rows, 8)
    np.testing.assert_array_equal(palette[labels], rows)


def test_rows_are_replaced_by_the_mean_of_their_cell():
    rng = np.random.default_rng(1)
    rows = (rng.standard_normal((3000, 9)) * np.geomspace(1, 0.01, 9)).astype(np.float32)
    palette, labels = codebooks.of_rows(rows, 64)
    assert palette.shape == (64, 9) and set(labels) == set(range(64))
    for cell in range(64):
        np.testing.assert_allclose(palette[cell], rows[labels == cell].mean(axis=0), atol=1e-5)
    again = codebooks.of_rows(rows, 64)
    np.testing.assert_array_equal(again[0], palette)
    np.testing.assert_array_equal(again[1], labels)
    nearest_of_random = rows[rng.choice(3000, 64, replace=False)]
    theirs = ((rows[:, None] - nearest_of_random) ** 2).sum(axis=2).min(axis=1).mean()
    assert ((rows - palette[labels]) ** 2).sum(axis=1).mean() < 0.8 * theirs


def test_heaps_are_told_apart_and_equal_rows_stay_together():
    rng = np.random.default_rng(2)
    heaps = rng.standard_normal((5, 4)).astype(np.float32)
    which = rng.integers(0, 5, 400)
    palette, labels = codebooks.of_rows(heaps[which], 16)
    assert len(palette) == 5  # and not 16: rows that are alike are never parted
    np.testing.assert_allclose(palette[labels], heaps[which], atol=1e-6)
