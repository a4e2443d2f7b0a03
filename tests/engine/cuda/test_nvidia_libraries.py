"""Libraries made here, in place of NVIDIA's."""

import ctypes
import subprocess
import sys

import pytest

from geolrm.engine.cuda.nvidia_libraries import LINUX, load_libraries

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="makes libraries of Linux")


def make_library(folder, name, value, *needs):
    """A library with one function, which calls those that it needs."""
    folder.mkdir(parents=True, exist_ok=True)
    symbol = name.partition(".")[0]
    calls = "".join(f" + {need.name.partition('.')[0]}()" for need in needs)
    declared = "".join(f"int {need.name.partition('.')[0]}(void);\n" for need in needs)
    source = folder / f"{symbol}.c"
    source.write_text(f"{declared}int {symbol}(void) {{ return {value}{calls}; }}\n")
    path = folder / name
    command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", path, source]
    subprocess.run([*command, *needs], check=True)
    source.unlink()
    return path


def test_a_library_is_found_in_every_entry_and_its_dependents_by_name(tmp_path):
    """The needed one lies in another entry than ONNX Runtime's, as with ``pip --target``."""
    runtime = tmp_path / "machine" / "nvidia" / "cu13" / "lib"
    first = make_library(runtime, "libgeolrmrt.so.13", 40)
    second = make_library(tmp_path / "machine" / "nvidia" / "cudnn" / "lib", "libgeolrmnn.so.9", 2,
                          first)  # fmt: skip
    entries = [str(tmp_path / "target"), str(tmp_path / "absent"), str(tmp_path / "machine")]
    with pytest.raises(OSError, match=r"libgeolrmrt\.so\.13: cannot open shared object file"):
        ctypes.CDLL(str(second))
    loaded = load_libraries([first.name, "libgeolrmabsent.so.1", second.name], entries)
    assert loaded == [first, second]
    assert ctypes.CDLL("libgeolrmnn.so.9").libgeolrmnn() == 42  # by its bare name


def test_the_first_entry_that_can_be_loaded_wins(tmp_path):
    lib = "nvidia/cu13/lib"
    broken = tmp_path / "a" / lib / "libgeolrmtwice.so.1"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"another machine's")
    good = make_library(tmp_path / "b" / lib, "libgeolrmtwice.so.1", 7)
    make_library(tmp_path / "c" / lib, "libgeolrmtwice.so.1", 8)
    entries = [str(tmp_path / name) for name in "abc"]
    assert load_libraries(["libgeolrmtwice.so.1"], entries) == [good]
    assert ctypes.CDLL("libgeolrmtwice.so.1").libgeolrmtwice() == 7


def test_sys_path_is_what_is_searched(tmp_path, monkeypatch):
    path = make_library(tmp_path / "nvidia" / "x" / "lib", "libgeolrmpath.so.1", 1)
    monkeypatch.setattr(sys, "path", ["", *sys.path, str(tmp_path)])
    assert load_libraries(["libgeolrmpath.so.1"]) == [path]


def test_what_needs_another_comes_after_it():
    assert LINUX.index("libcublasLt.so.13") < LINUX.index("libcublas.so.13")
    assert LINUX[0] == "libcudart.so.13" and LINUX[-1] == "libcudnn.so.9"
