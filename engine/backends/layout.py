"""Where the intermediate tensors of a stage lie in one arena: shared where lives do not overlap."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from geolrm.engine.bundle.plan import Dims, Stage, Tensor

ALIGNMENT = 256  # bytes; what TensorRT and cudaMalloc align to, and whole cache lines of a CPU


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets in the arena for one number of views and of anchors."""

    tensors: Mapping[str, int]  # of the intermediates that are no views
    workspaces: Sequence[int]  # of each step, for what its operator needs while it runs
    nbytes: int


def bytes_of(tensors: Iterable[Tensor], dims: Dims) -> int:
    """Return the sum of their sizes, each aligned."""
    return sum(_aligned(tensor.nbytes_at(dims)) for tensor in tensors)


def lay_out(stage: Stage, dims: Dims, workspaces: Sequence[int]) -> Layout:
    """Return offsets by size, the largest first, each as low as what lives at the time allows.

    Args:
        stage: Its own inputs and outputs lie elsewhere.
        dims: Numbers of views and anchors.
        workspaces: Bytes for the operator of each step, which last as long as the step.
    """
    lives = _lives(stage, dims)
    lives |= {index: (index, index, _aligned(size)) for index, size in enumerate(workspaces)}
    offsets: dict[Hashable, int] = {}
    for key, (first, last, size) in sorted(lives.items(), key=_largest_first):
        taken = sorted(
            (offsets[other], offsets[other] + lives[other][2])
            for other in offsets
            if lives[other][0] <= last and first <= lives[other][1]
        )
        start = 0
        for begin, end in taken:
            if start + size <= begin:
                break
            start = max(start, end)
        offsets[key] = start
    return Layout(
        {key: offset for key, offset in offsets.items() if isinstance(key, str)},
        [offsets[index] for index in range(len(workspaces))],
        max((offsets[key] + lives[key][2] for key in offsets), default=0),
    )


def _lives(stage: Stage, dims: Dims) -> dict[Hashable, tuple[int, int, int]]:
    """Find of each intermediate the first step, the last step and the bytes."""
    known = {tensor.name: tensor for tensor in stage.tensors}
    owner = {name: tensor.view_of or name for name, tensor in known.items()}
    lives: dict[Hashable, tuple[int, int, int]] = {}
    for index, step in enumerate(stage.steps):
        for name in step.writes:
            if known[name].lifetime == "intermediate":
                lives[name] = (index, index, _aligned(known[name].nbytes_at(dims)))
        for name in (owner[name] for name in step.reads):
            if name in lives:
                first, _, size = lives[name]
                lives[name] = (first, index, size)
    return lives


def _largest_first(item: tuple[Hashable, tuple[int, int, int]]) -> tuple[int, int, str]:
    key, (first, _, size) = item
    return -size, first, str(key)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
