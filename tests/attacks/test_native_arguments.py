"""Whatever is passed to geolrm._C: the call works, or raises TypeError or ValueError.

It never ends the process, writes beside its outputs, writes at all when it refuses, takes memory or
time that its arguments do not account for. `make fuzz-native` runs this under AddressSanitizer and
UndefinedBehaviorSanitizer, which see reads beside the arguments, too.
"""

import ast
import faulthandler
import os
import reprlib
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import currently_in_test_context, given, note, settings
from hypothesis import strategies as st
from samples.native_calls import CALLS, sizes_of

from geolrm import _C

SANITIZED = "GEOLRM_SANITIZED" in os.environ
# Zones whose bytes must stay; none under sanitizers, which know an array's own end.
GUARD = 0 if SANITIZED else 4096
CPU_SECONDS = 60 if SANITIZED else 5
HANGS_AFTER = 120 if SANITIZED else 30  # seconds
MEMORY = 512 << 20  # beyond what the process holds; arguments take a few kB

EXAMPLES = 4 * settings().max_examples  # of each call

INTEGERS = (0, 1, -1, 3, 255, 16384, 2**24, 2**31 - 1, 2**31, -(2**31), 2**32, 2**62, 2**63 - 1)
INTEGERS += (-(2**63), 2**63, 2**70, True, np.int8(3), np.uint64(2**64 - 1), 2.5)
REALS = (0.0, -0.0, -1.0, 1.0, np.nan, np.inf, -np.inf, 1e-320, 1e-30, 1e30, 1.7e308, -1.7e308)
REALS += (10**400, 1j, np.float16(2))
TEXTS = ("", "plain", "avx2", "avx512", "neon", "a\0b", "\ud800", "plain" * 20000, b"plain")
SPIKES = (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, -0.0, -1.0, 1e9, -1e9, 2.0)
DTYPES = ("float16", "float32", "float64", ">f4", ">f8", "int8", "uint8", "int32", "int64", ">i8")
DTYPES += ("bool", "complex64", "object", "S4", "U2", "datetime64[s]", "f4,f4")


class HasArray:
    """Something that NumPy can make an array of."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array.astype(dtype or self.array.dtype)


class Memory:
    """Arrays between guard zones, and what their memory held."""

    def __init__(self):
        self.held = []

    def room(self, count: int) -> np.ndarray:
        """Take `count` bytes, aligned, between zones."""
        whole = np.full(count + 2 * GUARD + 64, 0xA5, np.uint8)
        if SANITIZED:
            whole = np.full(count, 0xA5, np.uint8)  # exactly: what lies behind is poisoned
        start = GUARD + (-(whole.ctypes.data + GUARD) % 64 if GUARD else 0)
        self.held.append([whole, None])
        return whole[start : start + count]

    def place(self, array: np.ndarray) -> np.ndarray:
        """Copy an array, strides forgotten."""
        if array.dtype.hasobject:
            return array.copy()
        room = self.room(array.nbytes)
        placed = room.view(array.dtype).reshape(array.shape) if array.size else array.copy()
        placed[...] = array
        return placed

    def remember(self):
        """Keep what is there before the call."""
        for pair in self.held:
            pair[1] = pair[0].copy()

    def check(self, written: list[np.ndarray]):
        """Hold all bytes outside of what may be written against those before the call."""
        for whole, before in self.held:
            same = whole == before
            for out in written:
                first = out.ctypes.data - whole.ctypes.data
                if 0 <= first <= whole.size:
                    same[first : first + out.nbytes] = True
            assert same.all(), f"{(~same).sum()} bytes were written beside the outputs"


def spiked(array, draw, memory):
    """Put extreme numbers at some places, or at all."""
    array = memory.place(array)
    if array.size == 0 or array.dtype.kind not in "fiu":
        return array
    if array.dtype.kind == "f":
        value = draw(st.sampled_from(SPIKES))
    else:
        info = np.iinfo(array.dtype)
        value = draw(st.sampled_from([info.min, info.max, 0, 1, info.max // 2, 3]))
    with np.errstate(over="ignore"):
        if draw(st.booleans()):
            array[...] = value
        else:
            array.flat[draw(st.integers(0, array.size - 1))] = value
    return array


def reshaped(array, draw, memory):
    """Give an axis another length, drop one or add one."""
    how = draw(st.sampled_from(["shorter", "longer", "empty", "fewer", "more", "flat", "scalar"]))
    if how == "more":
        return memory.place(array[None])
    if how == "flat" or array.ndim == 0:
        return memory.place(array.reshape(-1))
    if how == "scalar":
        return memory.place(np.zeros((), array.dtype))
    axis = draw(st.integers(0, array.ndim - 1))
    if how == "longer":
        return memory.place(
            np.concatenate([array, array[(slice(None),) * axis + (slice(1),)]], axis)
        )
    if how == "fewer":
        return memory.place(array.sum(axis).astype(array.dtype))
    kept = slice(0) if how == "empty" else slice(max(array.shape[axis] - 1, 0))
    return memory.place(array[(slice(None),) * axis + (kept,)])


def immense(array, draw, memory):
    """Give an empty array immense other axes."""
    if array.ndim < 2:
        return np.empty(0, array.dtype)
    shape = list(array.shape)
    for axis in range(array.ndim):
        if draw(st.booleans()):
            shape[axis] = draw(st.sampled_from([2**20, 2**31, 2**32 + 1, 2**40, 2**56]))
    shape[draw(st.integers(0, array.ndim - 1))] = 0
    try:
        return np.empty(shape, array.dtype)
    except ValueError:  # beyond what NumPy itself counts
        return np.empty((0,) * array.ndim, array.dtype)


def strided(array, draw, memory):
    """Leave the numbers, but not one after the other."""
    how = draw(st.sampled_from(["transposed", "every other", "backwards", "repeated", "unaligned"]))
    if not array.size:
        return array
    if how == "unaligned" or array.ndim == 0:
        room = memory.room(array.nbytes + 1)[1:]
        placed = room.view(array.dtype).reshape(array.shape)
        placed[...] = array
        return placed
    if how == "transposed":
        return memory.place(array.T).T
    if how == "every other":
        return memory.place(np.repeat(array, 2, -1))[..., ::2]
    if how == "backwards":
        return memory.place(array)[::-1]
    return np.broadcast_to(memory.place(array[:1]), array.shape) if array.shape[0] else array


def other_kind(array, draw, memory):
    """Make another dtype of it, a subclass, or what is no array."""
    how = draw(st.sampled_from([*DTYPES, "list", "float32 list", "buffer", "masked", "has array"]))
    if how == "list":
        return array.tolist()
    if how == "float32 list":
        return [list(row) if np.ndim(row) else row for row in array] if array.ndim else array[()]
    if how == "buffer":
        return memoryview(memory.place(array))
    if how == "masked":
        return np.ma.MaskedArray(memory.place(array), mask=False)
    if how == "has array":
        return HasArray(memory.place(array))
    try:
        with np.errstate(invalid="ignore", over="ignore"):
            return memory.place(array.astype(how))
    except (TypeError, ValueError):
        return memory.place(np.zeros(array.shape, how))


def read_only(array, draw, memory):
    """Forbid to write to it."""
    array = memory.place(array)
    array.flags.writeable = False
    return array


ARRAY_CHANGES = (spiked, spiked, reshaped, immense, strided, other_kind, read_only)


def anything(draw):
    """Draw what no argument should be."""
    kinds = [None, "text", b"bytes", -1, 2**40, 0.5, (), [], {}, object(), int, np.float32(1)]
    kinds += [np.zeros(0), np.zeros(3, np.float32), range(3), len, Ellipsis, _C.SplatModel]
    kinds += [bare(_C.SplatModel), bare(_C.RasterParameters), bare(_C.TexturedMesh)]
    kinds += [bare(_C.ImageLoss), bare(_C.ValueProjection)]
    return kinds[draw(st.integers(0, len(kinds) - 1))]  # not all of them can be shown


def bare(cls):
    """Make an instance whose __init__ never ran."""
    return cls.__new__(cls)


def changed(value, draw, memory):
    """Mutate one argument by what it is."""
    if draw(st.integers(0, 7)) == 0:
        return anything(draw)
    if isinstance(value, np.ndarray):
        return draw(st.sampled_from(ARRAY_CHANGES))(value, draw, memory)
    if isinstance(value, bool | int):
        return draw(st.sampled_from(INTEGERS))
    if isinstance(value, float):
        return draw(st.sampled_from(REALS))
    if isinstance(value, str):
        return draw(st.sampled_from(TEXTS))
    if isinstance(value, list | tuple):
        return changed_sequence(value, draw, memory)
    if type(value).__module__ == "geolrm._C" and draw(st.booleans()):
        return bare(type(value))
    return anything(draw)


def changed_sequence(value, draw, memory):
    """Mutate a list: its length, its kind, or what is in it."""
    how = draw(
        st.sampled_from(["element", "element", "empty", "longer", "long", "iterator", "nest"])
    )
    if how == "empty" or not value:
        return type(value)()
    if how == "longer":
        return type(value)([*value, value[0]])
    if how == "long":
        return list(value[:1]) * 1000
    if how == "iterator":
        return iter(value)
    if how == "nest":
        return [value]
    at = draw(st.integers(0, len(value) - 1))
    return type(value)([*value[:at], changed(value[at], draw, memory), *value[at + 1 :]])


def overlapped(arguments, draw, memory):
    """Let two array arguments share bytes, at whole numbers of both."""
    names = [name for name, value in arguments.items() if plain_array(value) and value.size]
    if len(names) < 2:
        return "nothing overlaps"
    first, second = draw(st.permutations(names))[:2]
    a, b = arguments[first], arguments[second]
    shift = draw(st.sampled_from([0, 8, max(a.nbytes - 8, 0) // 8 * 8]))
    room = memory.room(max(a.nbytes, shift + b.nbytes))
    for name, array, at in ((second, b, shift), (first, a, 0)):
        arguments[name] = room[at : at + array.nbytes].view(array.dtype).reshape(array.shape)
        arguments[name][...] = array
    return f"{first} and {second} share memory, {shift} bytes apart"


def plain_array(value):
    return type(value) is np.ndarray and not value.dtype.hasobject


@contextmanager
def bounded():
    """Limit memory and time; a hang ends the process with a traceback."""
    limits = None
    if sys.platform == "linux" and not SANITIZED:
        import resource

        limits = resource.getrlimit(resource.RLIMIT_DATA)
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, limits[1]))
    before = time.process_time()
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        if limits:
            resource.setrlimit(resource.RLIMIT_DATA, limits)
    taken = time.process_time() - before
    assert taken < CPU_SECONDS, f"the call took {taken:.1f} s"


def shown(value):
    """Describe an argument in a few words."""
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape} strides {value.strides}"
    if isinstance(value, str | int | float | list | tuple | None):
        return reprlib.repr(value)
    return type(value).__name__


def attack(name, arguments, memory):
    """Call, and hold what happened against the promise; the error, if it raised one."""
    call = CALLS[name]
    lines = [f"{key}: {shown(value)}" for key, value in arguments.items()]
    if currently_in_test_context():
        note("\n".join([name, *lines]))
    if SANITIZED:  # a sanitizer ends the process: this is what it ended at
        (Path(os.environ["GEOLRM_SANITIZED"]) / "last_call.txt").write_text(
            "\n".join([name, *lines]) + "\n"
        )
    memory.remember()
    error = None
    with bounded():
        try:
            call(arguments)
        except (TypeError, ValueError) as raised:
            error = raised
    written = [] if error else [arguments[key] for key in call.outputs()]
    memory.check([out for out in written if isinstance(out, np.ndarray)])
    return error


@pytest.mark.parametrize("name", CALLS)
def test_good_calls_work(name):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        memory = Memory()
        arguments = placed(CALLS[name].good(sizes_of(rng), rng), memory)
        assert attack(name, arguments, memory) is None


def placed(arguments, memory):
    return {
        key: memory.place(value) if isinstance(value, np.ndarray) else value
        for key, value in arguments.items()
    }


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.arguments])
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_changed_arguments(name, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    memory = Memory()
    arguments = placed(CALLS[name].good(sizes_of(rng), rng), memory)
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from(sorted(arguments)))
        if plain_array(arguments[key]) and data.draw(st.integers(0, 5)) == 0:
            note(overlapped(arguments, data.draw, memory))
        else:
            arguments[key] = changed(arguments[key], data.draw, memory)
    attack(name, arguments, memory)


def test_every_native_name_is_attacked():
    stub = Path(__file__).parents[2] / "python/geolrm/_C.pyi"
    names = set()
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
            names |= {
                node.name if method == "__init__" else f"{node.name}.{method}" for method in methods
            }
    assert names == {name for name in CALLS if " of " not in name}
    public = {name for name in dir(_C) if not name.startswith("_")}
    assert public == {name.split(".")[0] for name in names}


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.method])
def test_objects_without_init(name):
    rng = np.random.default_rng(0)
    arguments = CALLS[name].good(sizes_of(rng), rng)
    cls = type(arguments["self"])
    arguments["self"] = bare(cls)
    with pytest.raises(TypeError) as raised:
        CALLS[name](arguments)
    assert str(raised.value) == (
        f"the geolrm._C.{cls.__name__} was never initialised; make it by calling "
        f"geolrm._C.{cls.__name__}(...)"
    )


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.outputs()])
def test_no_output_may_share_memory(name):
    rng = np.random.default_rng(3)
    sizes = sizes_of(rng) | {"views": 2, "N": 5, "splats": 7, "faces": 1}
    good = CALLS[name].good(sizes, rng)
    skipped = ("w2c", "intrinsics")  # copied before anything is written
    arrays = [key for key, value in good.items() if plain_array(value) and key not in skipped]
    for out in CALLS[name].outputs():
        for other in arrays:
            if other == out:
                continue
            room = np.zeros(max(good[out].nbytes, good[other].nbytes), np.uint8)
            arguments = dict(good)
            for key in (out, other):
                value = good[key]
                arguments[key] = room[: value.nbytes].view(value.dtype).reshape(value.shape)
                arguments[key][...] = value
            with pytest.raises(
                ValueError, match="shares memory with .*; it is written, so it must"
            ):
                CALLS[name](arguments)


def test_gradients_may_not_lie_in_the_model():
    rng = np.random.default_rng(0)
    sizes = sizes_of(rng) | {"views": 1, "splats": 7}
    arguments = CALLS["SplatModel.backward"].good(sizes, rng)
    own = CALLS["SplatModel"].good(sizes, rng)
    arguments["self"] = CALLS["SplatModel"](own)
    arguments["quats"] = own["quats"]
    with pytest.raises(ValueError) as raised:
        CALLS["SplatModel.backward"](arguments)
    assert str(raised.value) == (
        "the gradient of quats shares memory with an array of the model; it is written, so it must "
        "not: pass an array of its own"
    )


@pytest.mark.parametrize("name", ["colors", "sh"])
def test_what_numpy_could_convert_is_no_array(name):
    # A copy made of it would be gone before the first frame.
    rng = np.random.default_rng(0)
    call = CALLS["SplatModel" if name == "colors" else "SplatModel of sh"]
    arguments = call.good(sizes_of(rng) | {"splats": 7}, rng)
    arguments[name] = memoryview(arguments[name])
    with pytest.raises(TypeError, match=f"{name} is a memoryview; it must be a NumPy array"):
        call(arguments)


def test_products_beyond_64_bits():
    # 2^31 heads of 2^32 points and two numbers each are 2^64, which is 0 in 64 bits.
    with pytest.raises(ValueError) as raised:
        _C.mark_touched(
            np.ones((1, 2), np.int64),
            np.zeros((1, 3, 2), np.float32),
            np.zeros((3, 0), np.float32),
            2**31,
            2**32,
            np.zeros((1, 1), np.uint8),
        )
    assert str(raised.value) == (
        "sampling_offsets has shape [3, 0]; it must be [N, h*levels*P*2] for num_heads = "
        "2147483648, num_points = 4294967296 and 1 levels"
    )


def test_immense_sizes_of_nothing_take_nothing():
    heads = 2**40
    with bounded():
        _C.deformable_sampling(
            np.empty((0, 1, heads), np.float32),
            np.ones((1, 2), np.int64),
            np.empty((0, 0, 2), np.float32),
            np.empty((0, heads * 2), np.float32),
            np.empty((0, heads), np.float32),
            heads,
            np.empty((0, 0, heads), np.float32),
        )
        touched = np.full((2, 1), 7, np.uint8)
        _C.mark_touched(
            np.ones((1, 2), np.int64),
            np.empty((2, 0, 2), np.float32),
            np.empty((0, heads * 2), np.float32),
            1,
            heads,
            touched,
        )
    assert (touched == 0).all()


@pytest.mark.parametrize(
    "name", [name for name, call in CALLS.items() if "threads" in call.arguments]
)
def test_immense_numbers_of_threads(name):
    rng = np.random.default_rng(0)
    sizes = sizes_of(rng) | {"views": 1, "N": 5, "splats": 7}
    good = CALLS[name].good(sizes, rng)
    results = []
    for threads in (1, 2**31 - 1):
        arguments = {
            key: value.copy() if isinstance(value, np.ndarray) else value
            for key, value in good.items()
        }
        arguments["threads"] = threads
        with bounded():
            CALLS[name](arguments)
        results.append([arguments[key].tobytes() for key in CALLS[name].outputs()])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "name", [name for name, call in CALLS.items() if "threads" in call.arguments]
)
def test_negative_numbers_of_threads(name):
    rng = np.random.default_rng(0)
    arguments = CALLS[name].good(sizes_of(rng), rng) | {"threads": -1}
    with pytest.raises(ValueError) as raised:
        CALLS[name](arguments)
    assert str(raised.value) == "threads is -1; it must be 0 (all cores) or more"
