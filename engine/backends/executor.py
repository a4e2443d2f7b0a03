"""Run a stage of a bundle: what the executors of all backends have in common.

An executor checks what it is given against the plan, finds from it how many views and anchors there
are, and lays the intermediates out in one arena, which all stages of a backend use in turn.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from geolrm.engine.backends.layout import Layout, lay_out
from geolrm.engine.bundle.contracts import weight_sizes
from geolrm.engine.bundle.plan import Dims, Role, Stage, Tensor
from geolrm.engine.errors import BundleError

REMEMBERED = 32  # layouts of a stage


class Array(Protocol):
    """A contiguous array of a backend."""

    @property
    def dtype(self) -> Any:
        """Its type, whose text is the plan's name for it."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        ...


A = TypeVar("A", bound=Array)
Memory = TypeVar("Memory", covariant=True)


class Arena(Protocol[Memory]):
    """Memory that grows to the largest size asked for."""

    def take(self, size: int) -> Memory:
        """Return at least so many bytes, aligned for every tensor."""
        ...


class Executor(ABC, Generic[A]):
    """One stage of a bundle, ready to run.

    Args:
        stage: Its plan.
        arena: For intermediates.
    """

    def __init__(self, stage: Stage, arena: Arena[A]):
        self.stage, self._arena = stage, arena
        self.role: Role = stage.role
        self._inputs, self._outputs = stage.inputs, stage.outputs
        self._layouts: dict[tuple, Layout] = {}
        self.seconds: dict[str, float] = {}  # by operator, summed until cleared; empty on a GPU

    def run(self, inputs: Mapping[str, A], outputs: Mapping[str, A] | None = None) -> dict[str, A]:
        """Execute all steps, or queue them where the backend has a stream.

        Args:
            inputs: The stage's inputs by name, contiguous; others are ignored.
            outputs: Arrays to write outputs into; those not given get new memory.

        Returns:
            The stage's outputs, in memory that no later run reuses.
        """
        given: Mapping[str, A] = outputs or {}
        dims: dict[str, int] = {}
        outside = {tensor.name: inputs[tensor.name] for tensor in self._inputs}
        for tensor in self._inputs:
            match(tensor, outside[tensor.name], dims)
        for tensor in self._outputs:
            made = given.get(tensor.name)
            if made is None:
                made = self.empty(tensor.shape_at(dims), tensor.dtype)
            match(tensor, made, dims)
            outside[tensor.name] = made
        layout = self.layout(dims)
        self.execute(dims, layout, self._arena.take(layout.nbytes), outside)
        return {tensor.name: outside[tensor.name] for tensor in self._outputs}

    def layout(self, dims: Dims) -> Layout:
        """Return where the intermediates lie for these numbers of views and anchors."""
        key = tuple(sorted(dims.items()))
        if key not in self._layouts:
            if len(self._layouts) == REMEMBERED:
                self._layouts.clear()
            self._layouts[key] = lay_out(self.stage, dims, self.workspaces(dims))
        return self._layouts[key]

    def arrays(
        self, dims: Dims, layout: Layout, memory: A, outside: Mapping[str, A]
    ) -> dict[str, A]:
        """Return every tensor by name: what is outside, and the rest within the arena's memory."""
        arrays = dict(outside)
        for tensor in self.stage.tensors:
            shape = tensor.shape_at(dims)
            if tensor.view_of is not None:
                arrays[tensor.name] = self.view(arrays[tensor.view_of], shape)
            elif tensor.name not in arrays:
                offset = layout.tensors[tensor.name]
                arrays[tensor.name] = self.place(memory, offset, shape, tensor.dtype)
        return arrays

    @abstractmethod
    def workspaces(self, dims: Dims) -> Sequence[int]:
        """Return the bytes that the operator of each step needs while it runs."""

    @abstractmethod
    def empty(self, shape: tuple[int, ...], dtype: str) -> A:
        """Return new memory, uninitialised."""

    @abstractmethod
    def place(self, memory: A, offset: int, shape: tuple[int, ...], dtype: str) -> A:
        """Return an array within the arena's memory."""

    @abstractmethod
    def view(self, array: A, shape: tuple[int, ...]) -> A:
        """Return the same memory in another shape of the same size."""

    @abstractmethod
    def execute(self, dims: Dims, layout: Layout, memory: A, outside: Mapping[str, A]) -> None:
        """Execute or queue the steps.

        Args:
            dims: Numbers of views and anchors.
            layout: For them.
            memory: Of the arena, at least the layout's bytes.
            outside: Inputs and outputs by name, as the plan says they are.
        """


def check_weights(stage: Stage, weights: Mapping[str, Array]) -> None:
    """Compare the weights of a stage's steps with what its kernels read of them.

    Raises:
        BundleError: One is of another size.
    """
    tensors = {tensor.name: tensor for tensor in stage.tensors}
    for step in stage.steps:
        for name, size in zip(step.weights, weight_sizes(step, tensors), strict=False):
            shape = weights[name].shape
            if math.prod(shape) != size:
                raise BundleError(
                    f"the weight {name!r} of a step {step.operator} has shape {list(shape)}, but "
                    f"the step reads {size} values; export the bundle again"
                )


def match(tensor: Tensor, array: Array, dims: dict[str, int]) -> None:
    """Check an array against the plan; a symbol gets its size at first sight.

    The engine makes what it passes, so a difference is a mistake of its own.
    """
    name, dtype, shape = tensor.name, str(array.dtype), tensor.shape
    assert dtype == tensor.dtype, f"{name} is {dtype}, the plan says {tensor.dtype}"
    assert len(array.shape) == len(shape), f"{name} has shape {array.shape}, the plan says {shape}"
    for dim, size in zip(shape, array.shape, strict=True):
        if isinstance(dim, str) and "*" not in dim:
            dim = dims.setdefault(dim, size)
        if isinstance(dim, int):
            assert dim == size, f"{name} has shape {array.shape}, the plan says {shape}"
