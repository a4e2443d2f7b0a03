"""Damaged inputs by chance, and the bounds within which readers must refuse them."""

import contextlib
import os
import sys

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("GEOLRM_FUZZ_EXAMPLES", "300"))  # of each reader
MOST_MEMORY = 256_000_000  # bytes beyond what the process has; the inputs are a few kB
SLOWEST = 10_000  # milliseconds: an input that takes longer is a failure, on a busy machine too
LONGEST = 60  # seconds, after which an input is interrupted; and twice that of CPU, if it cannot be

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=SLOWEST,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)

NUMBERS = [0, 1, 127, 128, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1]
_words = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [n.to_bytes(size, "little") for n in NUMBERS for size in (4, 8) if n < 256**size]
        + [str(n).encode() for n in NUMBERS]
        + [b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"NaN", b"-1", b"1e999", b'"', b"[", b"{"]
    ),
)
_edits = st.lists(
    st.tuples(
        st.sampled_from(["overwrite", "insert", "delete", "truncate", "repeat"]),
        st.floats(0, 1),  # where
        _words,
    ),
    min_size=1,
    max_size=4,
)


def damaged(*sound):
    """Bytes that were one of the ``sound`` ones before they were edited."""
    return st.builds(_edited, st.sampled_from(sound), _edits)


def _edited(content, edits):
    for kind, place, word in edits:
        at = int(place * len(content))
        if kind == "overwrite":
            content = content[:at] + word + content[at + len(word) :]
        elif kind == "insert":
            content = content[:at] + word + content[at:]
        elif kind == "delete":
            content = content[:at] + content[at + len(word) + 1 :]
        elif kind == "truncate":
            content = content[:at]
        else:
            content = content[:at] + content[at // 2 : at] + content[at:]
    return content


@contextlib.contextmanager
def bounded():
    """An input that takes more than ``MOST_MEMORY`` beyond the present, or hangs, is a failure."""
    if sys.platform != "linux":
        yield
        return
    import resource
    import signal

    def interrupt(*_):
        raise AssertionError(f"an input took more than {LONGEST} seconds")

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    signal.setitimer(signal.ITIMER_PROF, 2 * LONGEST)  # ends the process, in native code too
    # Of writable memory: address space would count what threads only reserve for their heaps.
    old = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + MOST_MEMORY, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, old)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
