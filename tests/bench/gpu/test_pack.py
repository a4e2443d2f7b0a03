"""The packer without its downloads, and the whole call with what it packs, on the driver double."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from doubles import driver as driver_double
from samples.fat_libraries import image, make_library, module

from geolrm import _C
from geolrm.bench.gpu import pack
from geolrm.bench.gpu.packing import cubins, fat_binaries, logged_graphs, wheels
from geolrm.engine.cuda import compiler
from geolrm.engine.cuda.compiler import Compiled
from geolrm.engine.errors import GeoLRMError

ROOT = Path(__file__).parents[3]
LARGE = b"\x22" * (pack.SMALL + 8)
MODULES = (module(image(90, b"\x11" * 16)), module(image(90, LARGE)), module(image(90, LARGE)))


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """What would be downloaded and found out: one wheel, whose second module is launched."""
    library = make_library(tmp_path / "provider.so", b"".join(MODULES))
    _, second, _ = fat_binaries.modules(library.read_bytes())

    def fetch(python, folder):
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / "onnxruntime_gpu-1.0-py3-none-any.whl", "w") as archive:
            archive.write(library, str(pack.PROVIDER))

    monkeypatch.setattr(wheels, "fetch", fetch)
    monkeypatch.setattr(wheels, "requirements", lambda: ["onnxruntime-gpu==1.0"])
    monkeypatch.setattr(pack, "launched", lambda *_: {second.address: ["gemm"]})
    monkeypatch.setattr(cubins, "write_cubins", lambda cache, arch: 3)
    monkeypatch.setattr(pack, "compiler_version", lambda: "13.0")
    return library.read_bytes()


def test_what_is_launched_and_what_is_small_is_packed(wheel, tmp_path):
    folder, lines = tmp_path / "packed", []
    pack.pack(folder, "python", tmp_path / "downloads", progress=lines.append)
    assert {path.name for path in folder.iterdir()} == {pack.ARCHIVE, pack.START, pack.CONTENTS}
    with tarfile.open(folder / pack.ARCHIVE) as archive:
        provider = archive.extractfile(f"site/{pack.PROVIDER.as_posix()}").read()
    assert len(provider) == len(wheel) and provider.count(LARGE) == 1 and b"\x11" * 16 in provider
    contents = json.loads((folder / pack.CONTENTS).read_text())
    assert (contents["sm"], contents["cubins"], contents["nvrtc"]) == (90, 3, "13.0")
    assert list(contents["launched"].values()) == [["gemm"]]
    assert lines[-1].endswith(" MiB")


def test_the_same_content_is_the_same_archive(tmp_path):
    site, cache = tmp_path / "site", tmp_path / "cache"
    (site / "a").mkdir(parents=True)
    (site / "a" / "b.py").write_text("1")
    for name in ("x", "y"):
        pack.write(tmp_path / name, site, cache, {})
        os.utime(site / "a" / "b.py", (1, 1))
    x, y = ((tmp_path / name / pack.ARCHIVE).read_bytes() for name in ("x", "y"))
    assert x == y


def test_a_folder_that_is_too_large_is_told(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "LARGEST", 1 << 10)
    with pytest.raises(GeoLRMError) as caught:
        pack.pack(tmp_path / "packed", "python", tmp_path / "downloads", progress=lambda line: None)
    size = sum(path.stat().st_size for path in (tmp_path / "packed").iterdir()) / 2**20
    assert str(caught.value) == (
        f"{str(tmp_path / 'packed')!r} has {size:.1f} MiB; at most 0 travel. Leave out more in "
        "bench/gpu/packing/wheels.py"
    )


def test_graphs_are_given_to_the_launch_log_at_several_sizes(tmp_path, monkeypatch):
    given = []
    (tmp_path / "a.onnx").write_bytes(b"")
    monkeypatch.setattr(logged_graphs, "write_graphs", lambda folder: [tmp_path / "a.onnx"])
    monkeypatch.setattr(logged_graphs, "feeds", lambda model, views, anchors: (views, anchors))
    monkeypatch.setattr(pack.launch_log, "build", lambda provider, folder: folder)
    monkeypatch.setattr(pack.launch_log, "launched", lambda *all: given.append(all) or {1: ["a"]})
    provider = tmp_path / pack.PROVIDER
    provider.parent.mkdir(parents=True)
    provider.write_bytes(b"")
    assert pack.launched("python", tmp_path, tmp_path) == {1: ["a"]}
    (_, _, _, graphs, options) = given[0]
    assert graphs[0]["feeds"] == list(pack.SIZES) and (21, 16384) in pack.SIZES
    assert options["sdpa_kernel"] == "3"


def test_bad_options_are_one_sentence(wheel, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(wheels, "find_python", lambda given: "python")
    with pytest.raises(SystemExit, match="2"):
        pack.main(["-o", str(tmp_path / "file")])
    told = capsys.readouterr().err
    assert (
        told == f"error: {str(tmp_path / 'file')!r} is a file; name a folder to pack into with -o\n"
    )


def packed(tmp_path, monkeypatch):
    """A folder for this interpreter and this extension, with kernels that the double takes."""
    site, cache = tmp_path / "site", tmp_path / "cache"
    extension, installed = Path(_C.__file__), importlib.metadata.distribution("geolrm")
    (site / "geolrm").mkdir(parents=True)
    (site / "geolrm" / extension.name).write_bytes(extension.read_bytes())
    described = site / f"geolrm-{installed.version}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(installed.read_text("METADATA") or "")
    compile_really = compiler._compile

    def compile_for_the_double(name, arch, kind, macros):
        if kind == "ptx":
            return compile_really(name, arch, kind, macros)
        given = json.dumps(dict(macros), sort_keys=True)
        return Compiled(driver_double._text(name, arch, given, False), kind, "")

    monkeypatch.setattr(compiler, "_compile", compile_for_the_double)
    cubins.write_cubins(cache, "sm_90")
    pack.write(tmp_path / "packed", site, cache, {})
    return tmp_path / "packed"


@pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="the packages of NVRTC are not installed"
)
@pytest.mark.skipif(sys.platform != "linux", reason="the double of the driver is for Linux")
def test_rehearsal_of_the_whole_call(tmp_path, monkeypatch):
    """In a bare interpreter: what is not packed is taken from the checkout and the machine.

    The driver double takes no machine code: a kernel that was not carried would be compiled, and
    then refused.
    """
    folder = packed(tmp_path, monkeypatch)
    machine = tmp_path / "machine"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", machine], check=True)
    (packages,) = machine.glob("lib/python*/site-packages")
    theirs = [path for path in sys.path if path.endswith("-packages")]
    (packages / "theirs.pth").write_text("\n".join(theirs))  # and no finder of ours
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    variables = {"PYTHON": str(machine / "bin" / "python"), "TMPDIR": str(temporary)}
    command = ["bash", folder / pack.START, "-o", tmp_path / "out", "--only", "kernels",
               "--settings", "2x300", "--seconds", "0.05", "--limit", "280"]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env=driver_double.environment(**variables), text=True, timeout=300,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert done.stdout.startswith(str(temporary))  # where the package came from
    assert "Kernels: measured" in done.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"gpu.json", "gpu.md", "logs.tar.gz"}
    (part,) = json.loads((tmp_path / "out" / "gpu.json").read_text())["parts"]
    kernels = {row["kernel"] for row in part["rows"]}
    assert {"deformable attention float16, Morton order", "blend_tiles", "RoPE indices"} <= kernels
    assert list(temporary.iterdir()) == []  # nothing lies around
