"""What is wrong with a wheel is found, each of it."""

import runpy
import zipfile
from pathlib import Path

import pytest

CHECK = runpy.run_path(str(Path(__file__).with_name("check_contents.py")))
SOUND = {
    "geolrm/_C.cpython-311-x86_64-linux-gnu.so": b"\x7fELF csrc/rasterizer/blend.h",
    "geolrm/__init__.py": b"", "geolrm/py.typed": b"",
    "geolrm/models/mini/manifest.json": b"{}", "geolrm/models/mini/weights.safetensors": b"",
    "geolrm/models/mini/encoder.onnx": b"", "geolrm/viewer/viewer.js": b"",
    "geolrm/viewer/page.html": b"", "geolrm/viewer/THIRD_PARTY_LICENSES.txt": b"",
    "geolrm/csrc/rasterizer/blend.cu": b"", "geolrm/examples/captures/README.md": b"",
    "geolrm/examples/captures/shoe/transforms.json": b"{}",
    "geolrm-0.1.0.dist-info/licenses/LICENSE": b"",
    "geolrm-0.1.0.dist-info/licenses/csrc/licenses/pybind11.txt": b"",
    "geolrm-0.1.0.dist-info/licenses/docs/model-card-objects.md": b"",
}  # fmt: skip


@pytest.fixture
def faults(tmp_path):
    def write_and_check(**changed):
        with zipfile.ZipFile(tmp_path / "it.whl", "w") as archive:
            for name, content in (SOUND | changed).items():
                if content is not None:
                    archive.writestr(name, content)
        return CHECK["faults"](tmp_path / "it.whl")

    return write_and_check


def test_a_sound_wheel_has_no_faults(faults):
    assert faults() == []


@pytest.mark.parametrize("path", [b"/home/me/geolrm/csrc/a.h", b"/tmp/w/objects/a.cpp"])
@pytest.mark.parametrize(
    "name", ["geolrm/_C.cpython-311-x86_64-linux-gnu.so", "geolrm/models/mini/manifest.json"]
)
def test_paths_of_the_building_machine_are_found(faults, path, name):
    assert faults(**{name: SOUND[name] + b"\0" + path + b"\0"}) == [
        f"{name} holds the path {path.decode()}"
    ]


def test_what_lacks_and_what_is_too_much_are_found(faults):
    assert faults(**{"geolrm-0.1.0.dist-info/licenses/LICENSE": None}) == [
        r"nothing in it is called geolrm-[\w.]+\.dist-info/licenses/LICENSE"
    ]
    extra = {"geolrm/tests/a.py": b"", "geolrm/engine/__pycache__/a.pyc": b""}
    assert faults(**extra) == [f"{name} does not belong in it" for name in extra]


def test_a_large_wheel_is_found(faults, monkeypatch):
    monkeypatch.setitem(CHECK["faults"].__globals__, "LARGEST", 1000)
    said = faults()
    assert len(said) == 1 and said[0].endswith("bytes, at most 1,000 are wanted")
