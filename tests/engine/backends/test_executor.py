"""What executors have in common, over NumPy arrays."""

import numpy as np
import pytest

from geolrm.engine.backends.executor import Executor
from geolrm.engine.bundle.plan import SegmentStep, Stage, Tensor

STAGE = Stage(
    "reconstruction",
    [
        Tensor("projection", "float32", ["views", 3], "input"),
        Tensor("anchors", "float32", ["anchors", 2], "input"),
        Tensor("inside", "float16", ["2*anchors", 1]),
        Tensor("means", "float32", ["anchors", 2], "output"),
        Tensor("seen", "float16", ["anchors", 2], view_of="inside"),
    ],
    [
        SegmentStep(name="a", files={}, reads=["projection", "anchors"], writes=["inside"]),
        SegmentStep(name="b", files={}, reads=["seen"], writes=["means"]),
    ],
)


class Doubling(Executor):
    """Writes 2 * anchors, by way of the arena."""

    def __init__(self):
        super().__init__(STAGE, self)
        self.taken = []

    def take(self, size):
        self.taken.append(size)
        return np.full(size, 0xFF, np.uint8)

    def workspaces(self, dims):
        return [0, 100]

    def empty(self, shape, dtype):
        return np.full(shape, np.nan, dtype)

    def place(self, memory, offset, shape, dtype):
        return np.ndarray(shape, dtype, memory, offset)

    def view(self, array, shape):
        return array.reshape(shape)

    def execute(self, dims, layout, memory, outside):
        arrays = self.arrays(dims, layout, memory, outside)
        arrays["inside"][:] = 2 * arrays["anchors"].reshape(-1, 1)
        arrays["means"][:] = arrays["seen"]


def given(views=3, anchors=5):
    array = np.arange(2 * anchors, dtype=np.float32).reshape(anchors, 2)
    return {"projection": np.zeros((views, 3), np.float32), "anchors": array, "other": None}


def test_intermediates_lie_in_the_arena_and_outputs_do_not():
    executor, inputs = Doubling(), given()
    assert executor.role == "reconstruction"
    first = executor.run(inputs)["means"]
    np.testing.assert_array_equal(first, 2 * inputs["anchors"])
    second = executor.run(given(anchors=2))["means"]
    assert not np.shares_memory(first, second) and second.shape == (2, 2)
    assert executor.taken == [512, 512]  # the tensor, and the workspace of the step that reads it


def test_outputs_are_written_where_they_are_wanted():
    inputs, wanted = given(), np.empty((5, 2), np.float32)
    assert Doubling().run(inputs, {"means": wanted})["means"] is wanted
    np.testing.assert_array_equal(wanted, 2 * inputs["anchors"])


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("anchors", np.zeros((5, 2)), "anchors is float64, the plan says float32"),
        ("anchors", np.zeros((5, 3), np.float32), r"anchors has shape \(5, 3\), the plan says"),
        ("projection", np.zeros(3, np.float32), r"projection has shape \(3,\), the plan says"),
    ],
)
def test_arrays_are_checked_against_the_plan(name, array, message):
    with pytest.raises(AssertionError, match=message):
        Doubling().run(given() | {name: array})
    with pytest.raises(AssertionError, match=r"means has shape \(4, 2\)"):
        Doubling().run(given(), {"means": np.zeros((4, 2), np.float32)})
