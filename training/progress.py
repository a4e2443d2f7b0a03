"""Where a run stands, as a line now and then."""

import time
from typing import Any, TextIO

SECONDS = 5.0  # between two lines
SHOWN = ("mse", "gain", "occupancy", "iou")  # terms beside the loss, where a stage has them


class Progress:
    """Prints step, losses and time to go; called with the record of each step."""

    def __init__(self, steps: int, quiet: bool = False, stream: TextIO | None = None):
        self.steps, self.quiet = steps, quiet
        self.stream = stream  # None: standard output
        self.seconds = 0.0  # of a step, on average
        self.shown = 0.0

    def __call__(self, record: dict[str, Any]) -> None:
        pace = record["seconds"]
        self.seconds = pace if self.seconds == 0 else 0.95 * self.seconds + 0.05 * pace
        now = time.monotonic()
        done = record["step"] + 1
        if self.quiet or (now - self.shown < SECONDS and done < self.steps):
            return
        self.shown = now
        print(line(record, self.steps, self.seconds), file=self.stream, flush=True)


def line(record: dict[str, Any], steps: int, seconds: float) -> str:
    """Format a step's record as one line; ``seconds`` are those of a step, on average."""
    left = int((steps - record["step"] - 1) * seconds)
    terms = "  ".join(f"{name} {record[name]:.4f}" for name in SHOWN if name in record)
    return (
        f"step {record['step'] + 1}/{steps}  loss {record['total']:.3f}  {terms}  "
        f"{seconds:.2f} s/step  {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} to go"
    )
