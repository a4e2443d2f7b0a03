"""Damaged inputs by the hundred thousand, each drawn from a seed that brings it again.

Hypothesis takes about 2 milliseconds to draw one; these take a few microseconds, so that what a
reader does with them is what takes the time.
"""

import copy
import json
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from harness.fuzzing import MOST_MEMORY, NUMBERS

SECONDS = 10.0  # an input may take, on a busy machine too
BATCH = 256  # inputs between two looks at the memory
WORDS = [
    *(n.to_bytes(size, "little") for n in NUMBERS for size in (4, 8) if n < 256**size),
    *(str(n).encode() for n in NUMBERS),
    *(b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"NaN", b"-1", b"1e999", b'"', b"[", b"{"),
]
JSON_VALUES: list[Any] = [
    None, True, -1, 0, 1, 2, 0.3, 1.5, 1e-300, 1e300, 2**31, 2**53, 2**70, float("nan"),
    float("inf"), "", "a.png", "../a", "a\0b", "x" * 5000, "\x1b[31m", "VEC2", "MAT4", [], {}, [0],
    [[1]], [1e300] * 16, [0.0] * 16,
]  # fmt: skip


def edited(chance: random.Random, content: bytes) -> bytes:
    """Edit bytes at one to four places."""
    for _ in range(chance.randint(1, 4)):
        at = int(chance.random() * (len(content) + 1))
        word = (
            chance.choice(WORDS)
            if chance.random() < 0.5
            else chance.randbytes(chance.randint(0, 12))
        )
        kind = chance.randrange(6)
        if kind == 0:
            content = content[:at] + word + content[at + len(word) :]
        elif kind == 1:
            content = content[:at] + word + content[at:]
        elif kind == 2:
            content = content[:at] + content[at + len(word) + 1 :]
        elif kind == 3:
            content = content[:at]
        elif kind == 4:
            content = content[:at] + content[at // 2 : at] + content[at:]
        elif content:  # a bit
            at = min(at, len(content) - 1)
            content = (
                content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
            )
    return content


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield every place of a document but the document itself."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from places(child, (*path, key))


def edited_json(chance: random.Random, document: Any, values: list[Any] = JSON_VALUES) -> bytes:
    """Replace or leave out up to three values of a document."""
    changed = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        path = chance.choice(list(places(changed)) or [()])
        place = changed
        for key in path[:-1]:
            place = place[key]
        if not path:
            return b"null"
        if chance.random() < 0.7:
            place[path[-1]] = copy.deepcopy(chance.choice(values))
        else:
            del place[path[-1]]
    return json.dumps(changed).encode()


class TooSlow(AssertionError):
    """An input that takes longer than any may."""


def attack(
    make: Callable[[random.Random], bytes],
    read: Callable[[bytes], Any],
    refusals: tuple[type[BaseException], ...],
    count: int,
    seed: int = 0,
) -> tuple[int, float]:
    """Give ``count`` inputs to a reader, each refused in a sentence or read, within bounds.

    Args:
        make: Makes an input.
        read: Reads it.
        refusals: The errors that are sentences.
        count: How many.
        seed: Of the first; the next have the next ones.

    Returns:
        How many were read, and the seconds of the slowest.
    """
    was_read, slowest, number = 0, 0.0, seed
    if sys.platform == "linux":
        signal.signal(signal.SIGALRM, _interrupt)
        signal.signal(signal.SIGVTALRM, _interrupt)
    try:
        for start in range(seed, seed + count, BATCH):
            with warnings.catch_warnings(), BoundedMemory():
                warnings.simplefilter("ignore")
                for number in range(start, min(start + BATCH, seed + count)):
                    content = make(random.Random(number))
                    began = time.perf_counter()
                    _limit(SECONDS)
                    try:
                        read(content)
                        was_read += 1
                    except refusals as error:
                        said = str(error)
                        assert 10 < len(said) < 1500, said[:2000]
                    finally:
                        _limit(0)
                    slowest = max(slowest, time.perf_counter() - began)
    except BaseException as error:
        error.add_note(f"input {number}: make(random.Random({number}))")
        raise
    return was_read, slowest


def _interrupt(*_: Any) -> None:
    raise TooSlow(f"an input took more than {SECONDS:g} seconds")


def _limit(seconds: float) -> None:
    """Interrupt what runs for longer; native code that cannot be is ended by the system, later."""
    if sys.platform == "linux":
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        signal.setitimer(signal.ITIMER_REAL, 6 * seconds)
        signal.setitimer(signal.ITIMER_PROF, 6 * seconds)


class BoundedMemory:
    """A batch may take ``MOST_MEMORY`` beyond what the process has at its beginning."""

    def __enter__(self) -> None:
        if sys.platform != "linux":
            return
        import resource

        self.old = resource.getrlimit(resource.RLIMIT_DATA)
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + MOST_MEMORY, self.old[1]))

    def __exit__(self, *_: object) -> None:
        if sys.platform != "linux":
            return
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, self.old)
