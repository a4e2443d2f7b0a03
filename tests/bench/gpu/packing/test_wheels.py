import sys
import zipfile

import pytest

from geolrm.bench.gpu.packing import wheels
from geolrm.engine.errors import GeoLRMError


def test_a_python_of_the_machines_version_is_found(monkeypatch, tmp_path):
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    monkeypatch.setattr(wheels, "PYTHON", version)
    assert wheels.find_python(sys.executable) == sys.executable
    monkeypatch.setattr(wheels, "PYTHON", "3.99")
    monkeypatch.setattr(wheels.Path, "home", lambda: tmp_path)
    sentence = "; the packed extension is for it: name one with --python"
    with pytest.raises(GeoLRMError) as caught:
        wheels.find_python(sys.executable)
    assert str(caught.value) == f"{sys.executable!r} is no Python 3.99{sentence}"
    with pytest.raises(GeoLRMError) as caught:
        wheels.find_python()
    assert str(caught.value) == f"no Python 3.99 is here{sentence}"


def test_versions_are_those_of_this_environment(monkeypatch):
    versions = dict.fromkeys((*wheels.PACKAGES, "numpy", "onnxruntime"), "1.2")
    monkeypatch.setattr(wheels, "installed_version", versions.get)
    assert wheels.requirements()[-2:] == ["numpy==1.2", "onnxruntime-gpu==1.2"]
    assert len(wheels.requirements()) == len(wheels.PACKAGES) + 2
    del versions["cuda-core"], versions["msgspec"]
    with pytest.raises(GeoLRMError) as caught:
        wheels.requirements()
    assert str(caught.value) == (
        "cuda-core and msgspec missing; run: pip install 'geolrm[gpu,export]'"
    )


def make_wheel(folder, name, files):
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for file in files:
            archive.writestr(file, file)


def test_ballast_is_left_out(tmp_path):
    made, site, log = (tmp_path / name for name in ("wheels", "site", "log"))
    made.mkdir()
    make_wheel(made, "cuda_bindings", ["cuda/bindings/driver.so", "cuda/bindings/driver.cpp"])
    make_wheel(made, "cuda_core", ["cuda/core/cu13/_device.so", "cuda/core/cu12/_device.so"])
    make_wheel(made, "numpy", ["numpy/core.so"])
    make_wheel(made, "onnxruntime_gpu", [
        "onnxruntime/capi/libonnxruntime_providers_cuda.so", "onnxruntime/capi/libonnxruntime.so.1",
        "onnxruntime/tools/a.py", "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",
    ])  # fmt: skip
    make_wheel(made, "geolrm", ["geolrm/_C.cpython-312.so", "geolrm/engine/engine.py",
                                "geolrm-1.0.dist-info/METADATA"])  # fmt: skip

    def files(folder):
        return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}

    wheels.unpack(made, site, log)
    assert files(site) == {
        "cuda/bindings/driver.so", "cuda/core/cu13/_device.so", "geolrm/_C.cpython-312.so",
        "geolrm-1.0.dist-info/METADATA", "onnxruntime/capi/libonnxruntime_providers_cuda.so",
    }  # fmt: skip
    assert "numpy/core.so" in files(log) and "onnxruntime/capi/libonnxruntime.so.1" in files(log)


def test_wheels_are_downloaded_and_this_checkouts_is_made_anew(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(wheels, "_pip", lambda python, arguments: called.append(arguments))
    monkeypatch.setattr(wheels, "requirements", lambda: ["a==1"])
    (tmp_path / "geolrm-0.1.0-cp312.whl").write_bytes(b"of an older checkout")
    wheels.fetch("python", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert called[0][0] == "download" and called[0][-1] == "a==1"
    assert called[1] == ["wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(wheels.CHECKOUT)]
    assert (wheels.CHECKOUT / "pyproject.toml").is_file()


def test_what_pip_says_is_told():
    with pytest.raises(GeoLRMError, match=f"^pip nonsense fails for {sys.executable}: .*"):
        wheels._pip(sys.executable, ["nonsense"])
