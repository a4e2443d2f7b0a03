import pytest

from geolrm.engine.bundle.manifest import size_of, split_dim


@pytest.mark.parametrize(
    ("dim", "factor", "symbol", "size"),
    [("views", 1, "views", 3), ("16*tokens", 16, "tokens", 112), ("2*3*views", 6, "views", 18)],
)
def test_dimensions(dim, factor, symbol, size):
    assert split_dim(dim) == (factor, symbol)
    assert size_of(dim, {"views": 3, "tokens": 7}) == size


def test_numbers_and_unknown_symbols():
    assert size_of(5, {}) == 5
    with pytest.raises(KeyError, match="frames"):
        size_of("2*frames", {"views": 3})
