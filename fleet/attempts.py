"""How often a call has begun a capture, where every worker of it sees that.

A worker notes an attempt before it begins, in a file of the output, since it may die of the
capture: whoever is given it next reads the note. Three attempts are enough; the record that says
how a capture ended takes the note away.

::

    begin    count() -> n   n = 3: it has ended its workers; else mark(n + 1), and the work
    failed   may it work another time?   yes: mark() again, a record that does not count yet
    ended    clear(), after the record: done, or failed for good
    died     the note stays: the next worker counts it
"""

from __future__ import annotations

from geolrm.fleet.destination import ATTEMPTS, Destination

MOST_ATTEMPTS = 3
ENDED = (
    f"its worker ended {MOST_ATTEMPTS} times while it ran, most likely since memory ran out; use "
    "fewer --workers or fewer --views"
)


class Attempts:
    """The attempts of one call.

    Args:
        destination: Of the batch.
        call: The call's own name: attempts of others are none of its.
    """

    def __init__(self, destination: Destination, call: str):
        self._destination, self._call = destination, call

    def count(self, capture: str) -> int:
        """Return how often this call has begun a capture."""
        text = self._destination.read(self._name(capture)) or ""
        call, _, count = text.partition(" ")
        return int(count) if call == self._call and count.isdecimal() else 0

    def mark(self, capture: str, count: int) -> None:
        """Note that a capture is begun for the ``count``-th time."""
        self._destination.put_bytes(self._name(capture), f"{self._call} {count}".encode())

    def clear(self, capture: str) -> None:
        """Forget a capture that has ended."""
        self._destination.remove(self._name(capture))

    def are_open(self, capture: str) -> bool:
        """Tell whether a capture has not ended yet."""
        return self._destination.has(self._name(capture))

    @staticmethod
    def _name(capture: str) -> str:
        return f"{ATTEMPTS}/{capture}"
