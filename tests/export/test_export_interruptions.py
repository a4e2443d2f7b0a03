"""Exports side by side, and exports that are killed while an engine is built."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from geolrm import GeoLRMError, InputError
from geolrm.engine.bundle.manifest import Range, Source
from geolrm.engine.system import atomic
from geolrm.engine.system.atomic import atomic_folder
from geolrm.engine.system.file_lock import locked
from geolrm.export import backend_choice, weights
from geolrm.export.bundle_writer import write_bundle
from geolrm.export.command import export_checkpoint

TESTS = Path(__file__).parents[1]
KILLED = """
import os, signal, sys
from pathlib import Path
import onnx
from onnx import TensorProto, helper
from doubles.tensorrt_builder import BuilderDouble
from geolrm.engine.system.atomic import atomic_folder
from geolrm.engine.bundle.manifest import GpuIdentity, Range
from geolrm.engine.bundle.plan import SegmentStep, Stage, Tensor
from geolrm.export.backend_choice import Choice, Target
from geolrm.export.engine_builder import Profile
from geolrm.export.gpu_artifact import GpuGraphs, build_engines

builder = BuilderDouble()
tensors = [Tensor("x", "float32", ["views", 3], "input"), Tensor("y", "float32", ["views", 3])]
values = [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, t.shape) for t in tensors]
node = helper.make_node("Identity", ["x"], ["y"])
model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]))
steps = [
    SegmentStep(name=n, files={"sm_89": n + ".plan"}, reads=["x"], writes=["y"]) for n in "ab"
]
graphs = GpuGraphs({"s": Stage("proposal", tensors, steps)}, {"a": model, "b": model})
choice = Choice("tensorrt-rtx", "fp16", (Target("sm_89", GpuIdentity("sm_89")),), "")
def during():
    if len(builder.builds) == 2:  # the first engine is written, the second is being built
        os.kill(os.getpid(), signal.SIGKILL)
builder.during_build = during
folder = Path(sys.argv[1])
with atomic_folder(folder) as temporary:
    profile = Profile(Range(1, 2, 3), Range(1, 2, 3))
    build_engines(graphs, choice, profile, temporary, previous=folder, load=lambda name: builder)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_killed_export_leaves_the_older_bundle_and_its_rest_is_cleared_away(tmp_path):
    folder = tmp_path / "bundle"
    with atomic_folder(folder) as temporary:
        (temporary / "a.plan").write_bytes(b"older")
    done = subprocess.run([sys.executable, "-c", KILLED, folder], cwd=TESTS, timeout=300)
    assert done.returncode == -9
    assert [path.name for path in folder.iterdir()] == ["a.plan"]
    assert (folder / "a.plan").read_bytes() == b"older"
    (rest,) = (path for path in tmp_path.iterdir() if path != folder)
    assert [path.name for path in rest.iterdir()] == ["a.plan"]  # whole, but of no bundle
    with atomic_folder(folder) as temporary:
        (temporary / "a.plan").write_bytes(b"newer")
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "a.plan").read_bytes() == b"newer"


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("what", ["weights.safetensors", "proposal.onnx", "verify.json", "at last"])
def test_a_full_disk_is_one_sentence_and_keeps_the_older_bundle(
    models, tmp_path, monkeypatch, what
):
    folder = tmp_path / "bundle"
    with atomic_folder(folder) as temporary:
        (temporary / "older").touch()

    def refuse(write):
        def written(path, *arguments):
            if path.name == what:
                raise FULL
            return write(path, *arguments)

        return written

    def full(*_):
        words = "Error while serializing: I/O error: No space left on device (os error 28)"
        raise FULL if what == "at last" else SafetensorError(words)

    if what == "weights.safetensors":
        monkeypatch.setattr(weights, "save_file", full)
    elif what == "at last":
        monkeypatch.setattr(atomic.os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "write_bytes", refuse(Path.write_bytes))
        monkeypatch.setattr(Path, "write_text", refuse(Path.write_text))
    sentence = r"^cannot write '\S+bundle': No space left on device"
    with pytest.raises(InputError, match=sentence):
        write_bundle(models["token"], folder, name="t", source=Source("random", "", trained=False))
    assert list(tmp_path.iterdir()) == [folder]
    assert [path.name for path in folder.iterdir()] == ["older"]


def test_two_exports_to_one_folder_take_turns(tmp_path):
    refusal = "^another process exports to '.*bundle'; wait for it, or name another folder with -o$"
    with (
        locked(tmp_path / ".bundle.lock", ""),
        pytest.raises(GeoLRMError, match=refusal),
    ):
        export_checkpoint(
            "mini",
            tmp_path / "bundle",
            name="mini",
            choice=backend_choice.choose("onnxruntime", None, None),
            views=Range(1, 2, 4),
            tokens=None,
            image_size=None,
            self_attention="token",
            rope_scale=None,
            verify=False,
            progress=lambda line: None,
        )
    assert not (tmp_path / "bundle").exists()
