"""What a segment of a plan is asked, and what loads it: ONNX Runtime, or TensorRT, behind these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from geolrm.engine.bundle.bundle import StoredSegment
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.device import Device

Arrays = Mapping[str, DeviceArray]
Enqueue = Callable[[], None]
Scratch = Callable[[int], DeviceArray]  # memory of at least so many bytes, the same for all


@dataclass(frozen=True, slots=True)
class Binding:
    """A segment with its tensors."""

    enqueue: Enqueue  # queues one execution on the device's stream
    can_capture: Callable[[], bool]  # whether what it queues now may go into a CUDA graph


class Segment(Protocol):
    """A loaded graph or engine."""

    capturable: bool  # whether its bindings ever may be captured

    def bind(
        self, inputs: Arrays, outputs: Arrays, scratch: Scratch, *, lasting: bool = False
    ) -> Binding:
        """Fix the tensors.

        A binding that is not ``lasting`` may be used only until the next one is made.
        """
        ...


class Loader(Protocol):
    """Loads the segments of one bundle."""

    def load(self, stored: StoredSegment, device: Device) -> Segment:
        """Load a segment."""
        ...

    def keep(self) -> None:
        """Put on disk what the next process need not do again; called once all are loaded."""
        ...
