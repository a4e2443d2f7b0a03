import ctypes

import pytest
from samples.fat_libraries import cubin, image, make_library, module

from geolrm.bench.gpu.packing import fat_binaries
from geolrm.engine.errors import GeoLRMError

FIRST = module(image(75, b"\x11" * 24), image(90, b"\x22" * 40), image(90, b"\x33" * 8, kind=1))
SECOND = module(image(90, b"\x44" * 16), image(120, b"\x55" * 16))
INNER = cubin(b"\x66" * 30)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "provider.so"
    return make_library(path, FIRST + SECOND + bytes(16), b"before" + INNER + b"behind")


def test_modules_are_listed_with_their_images(library):
    found = fat_binaries.modules(library.read_bytes())
    told = [[(i.architecture, i.kind, i.size) for i in m.images] for m in found]
    assert told == [[(75, 2, 24), (90, 2, 40), (90, 1, 8)], [(90, 2, 16), (120, 2, 16)]]
    loaded = ctypes.CDLL(str(library))
    there = ctypes.addressof(ctypes.c_ubyte.in_dll(loaded, "modules"))
    other = ctypes.addressof(ctypes.c_ubyte.in_dll(loaded, "constants"))
    assert found[1].address - found[0].address == len(FIRST)
    assert there - found[0].address == other - _address(library, "constants")


def _address(library, name):
    """Of a symbol from the library's first byte on, as binutils tell it."""
    import subprocess

    done = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True)
    return next(int(line.split()[0], 16) for line in done.stdout.splitlines() if name in line)


def test_what_is_kept_is_as_it_was_and_the_rest_is_zeros(library):
    content = library.read_bytes()
    _, second = fat_binaries.modules(content)
    pruned = fat_binaries.prune(content, {second.address}, 90)
    assert len(pruned) == len(content)
    for byte in (0x11, 0x22, 0x33, 0x55, 0x66):
        assert bytes([byte] * 8) in content and bytes([byte] * 8) not in pruned
    assert b"\x44" * 16 in pruned and b"before" in pruned and b"behind" in pruned
    again_first, again_second = fat_binaries.modules(pruned)
    # What is left out is for a GPU that this is not; what is kept is found first and alone.
    assert {(i.kind, i.architecture) for i in again_first.images} == {(2, 75)}
    assert [(i.kind, i.architecture) for i in again_second.images] == [(2, 90), (2, 75)]
    changed = sum(a != b for a, b in zip(content, pruned, strict=True))
    assert changed < len(FIRST) + len(SECOND) + len(INNER)


def test_a_module_without_code_for_the_gpu_is_not_kept(library):
    content = library.read_bytes()
    first, _ = fat_binaries.modules(content)
    with pytest.raises(GeoLRMError) as caught:
        fat_binaries.prune(content, {first.address}, 120)
    assert str(caught.value) == (
        f"kernels at {first.address:#x} have no code for sm_120, only for sm_75, sm_90, sm_90"
    )
    with pytest.raises(GeoLRMError, match="^a library has no module of kernels at 0x7$"):
        fat_binaries.prune(content, {7}, 90)


@pytest.mark.parametrize(
    "modules",
    [
        b"\x01" * 64,
        module(image(90, b"\x22" * 40)[:-8]),  # an image longer than its module
        module(b"\x02\x00\x01\x01" + bytes(60)),  # and one without a header
    ],
)
def test_another_form_is_refused(tmp_path, modules):
    content = make_library(tmp_path / "a.so", modules + bytes(64)).read_bytes()
    with pytest.raises(GeoLRMError, match="^.*CUDA kernels.* in a form that is not known$"):
        fat_binaries.modules(content)
