"""Model bundles."""

import errno
import json
import shutil
from types import SimpleNamespace

import numpy as np
from errors.case import Case

from geolrm import Engine
from geolrm.engine import engine
from geolrm.engine.backends.cpu import executor
from geolrm.engine.backends.cpu.onnxruntime_segment import OnnxRuntimeSegment
from geolrm.engine.bundle import bundle, manifest
from geolrm.engine.bundle.bundle import WEIGHTS_NAME, Bundle, StoredSegment, file_sha256


def damaged(change, *, sign=False):
    """Open a bundle whose manifest was changed; ``sign`` gives it a valid checksum again."""

    def trigger(place):
        folder = place.bundle()
        file = folder / "manifest.json"
        content = json.loads(file.read_text())
        change(content)
        raw = json.dumps(content).encode()
        file.write_bytes(manifest.encode(manifest.decode(raw)) if sign else raw)
        return Bundle.open(folder)

    return trigger


def any_file(folder):
    return next(path for path in sorted(folder.iterdir()) if path.suffix == ".onnx")


def missing(place):
    folder = place.bundle()
    any_file(folder).unlink()
    return Bundle.open(folder)


def truncated(place):
    folder = place.bundle()
    file = any_file(folder)
    file.write_bytes(file.read_bytes()[:-1])
    return Bundle.open(folder)


def corrupt(place):
    folder = place.bundle()
    file = any_file(folder)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    return Bundle.open(folder)


def huge(place):
    folder = place.bundle()
    with (folder / "manifest.json").open("wb") as file:
        file.truncate(1 << 30)
    return Bundle.open(folder)


def replace_file(folder, name, content):
    """Put another file into a bundle, and tell its manifest."""
    (folder / name).write_bytes(content)
    stored = json.loads((folder / "manifest.json").read_text())
    stored["files"][name] = {"bytes": len(content), "sha256": file_sha256(folder / name)}
    raw = json.dumps(stored).encode()
    (folder / "manifest.json").write_bytes(manifest.encode(manifest.decode(raw)))


def damaged_weights(place):
    folder = place.bundle()
    replace_file(folder, WEIGHTS_NAME, b"no tensors")
    return Bundle.open(folder).weights({"x"})


def damaged_graph(place):
    return OnnxRuntimeSegment(StoredSegment(place.tmp / "a.onnx", b"no graph"), 1)


def odd_name(content):
    content["files"]["../a"] = content["files"][WEIGHTS_NAME]


def other_axes(content):
    content["rope"]["axis"][0] += 1


def without_a_plan(place):
    backend = SimpleNamespace(threads=1, stages={"proposal": SimpleNamespace(role="proposal")})
    place.patch.setattr(
        engine, "open_backend", lambda *_: (SimpleNamespace(name="", reason=""), backend)
    )
    return Engine(place.bundle())


def link(place):
    folder = place.bundle()
    file = any_file(folder)
    file.rename(place.tmp / "elsewhere")
    file.symlink_to(place.tmp / "elsewhere")
    return Bundle.open(folder)


def linked_manifest(place):
    folder = place.bundle()
    (folder / "manifest.json").rename(place.tmp / "elsewhere")
    (folder / "manifest.json").symlink_to(place.tmp / "elsewhere")
    return Bundle.open(folder)


def replaced_twice(place):
    """Another bundle takes the place whenever a file of one was read."""
    folder = place.bundle()
    read = bundle.read_file

    def read_and_replace(path, entry, *, keep):
        read(path, entry, keep=keep)
        shutil.copytree(folder, place.tmp / "next")
        shutil.rmtree(folder)
        (place.tmp / "next").rename(folder)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    place.patch.setattr(bundle, "read_file", read_and_replace)
    return Bundle.open(folder)


def unreadable(name):
    def trigger(place):
        refusal = raising(PermissionError(errno.EACCES, "Permission denied"))
        place.patch.setattr(bundle, name, refusal)
        return Bundle.open(place.bundle())

    return trigger


def raising(error):
    def call(*_, **__):
        raise error

    return call


def without_memory(place):
    place.patch.setattr(bundle, "memory_of_machine", lambda: 1000)
    return Engine(place.bundle())


def segment(place):
    folder = place.bundle()
    stored = Bundle.open(folder).segment("encoder_proposal.segment00.onnx")
    return OnnxRuntimeSegment(stored, 1)


def failing_run(place):
    return segment(place).run({"images": np.zeros((1, 3, 2, 2), np.float32)}, {})


def starved_run(place):
    made = segment(place)
    made._session = SimpleNamespace(io_binding=raising(RuntimeError("std::bad_alloc")))
    return made.run({}, {})


def endless_stage(place):
    place.patch.setattr(executor, "memory_of_machine", lambda: 10**9)
    return executor.Block().take(10**12)


def weights_of(change):
    """An engine whose weights have other shapes."""

    def trigger(place):
        read = Bundle.weights
        place.patch.setattr(
            Bundle,
            "weights",
            lambda self, names: {name: change(array) for name, array in read(self, names).items()},
        )
        return Engine(place.bundle())

    return trigger


CASES = [
    Case("no bundle at …: it is neither a folder nor a bundled model (…); make one with: …",
         "Check the name, or export a checkpoint.", lambda place: Engine(place.tmp / "none")),
    Case("… holds no manifest.json, so it is not a bundle; make one with: …",
         "Another folder, or an export that did not end.", lambda place: Engine(place.tmp)),
    Case("… is larger than … bytes, so it is corrupt", "manifest.json is small.", huge),
    Case("… has schema version …; this geolrm reads version …. …",
         "Made by another version of geolrm.", damaged(lambda c: c.update(schema_version=99))),
    Case("… is corrupt: it does not match its own checksum, so it was changed after the export; …",
         "manifest.json was edited.", damaged(lambda c: c.update(model="other"))),
    Case("… is corrupt: …", "manifest.json cannot be decoded; the reason follows.",
         damaged(lambda c: c.update(image_size="large"))),
    Case("… is missing…", "A file that the manifest lists: copy the whole folder again.", missing),
    Case("… has … bytes, its manifest says …: it is truncated or was changed…",
         "Copy the folder again.", truncated),
    Case("… does not match its checksum: it is corrupt…", "Copy the folder again.", corrupt),
    Case("… is corrupt: the file … is not a plain file name; …",
         "manifest.json was edited, or is hostile.",
         damaged(odd_name, sign=True)),
    Case("… is used but not listed in manifest.json", "manifest.json was edited.",
         lambda place: Bundle.open(place.bundle()).file("other.onnx")),
    Case("… holds other voxel axes than this version of geolrm computes; export it again with …",
         "Made by another version of geolrm.", damaged(other_axes, sign=True)),
    Case("… lacks 'x'", "A weight that the manifest names.",
         lambda place: Bundle.open(place.bundle()).weights({"x"})),
    Case("weights.safetensors of the bundle … cannot be read: …",
         "The weights are no safetensors file.", damaged_weights),
    Case("… is a link out of the folder, to …; copy the bundle with the files themselves: …",
         "A bundle holds what it needs.", link),
    Case("manifest.json of the bundle … is a link out of the folder, to …; copy the bundle …",
         "A bundle holds what it needs.", linked_manifest),
    Case("….onnx of the bundle … cannot be read: …", "The reason of the system follows.",
         unreadable("read_file")),
    Case("…manifest.json cannot be read: …", "The reason of the system follows.",
         unreadable("_read_manifest")),
    Case("the bundle … was replaced while it was opened, and again at the second attempt; …",
         "Exports to the same folder came one after another.", replaced_twice),
    Case("the bundle … takes … GB of memory, and this machine has … GB; …",
         "All that an engine runs is read into memory first.", without_memory),
    Case("ONNX Runtime cannot run …: …", "The reason of ONNX Runtime follows.", failing_run),
    Case("out of memory: ONNX Runtime cannot run …; use fewer views or anchors, or a machine …",
         "The reason of ONNX Runtime follows.", starved_run),
    Case("out of memory: a stage needs … GB for its tensors, and this machine has … GB; use …",
         "Each view and each anchor takes its share.", endless_stage),
    Case("the weight … of a step … has shape …, but the step reads … values; …",
         "The files of a bundle do not fit each other.", weights_of(lambda array: array[:-1])),
    Case("the stage … of the bundle … does not load: …", "A kernel refuses a weight.",
         weights_of(lambda array: array.reshape(-1))),
    Case("ONNX Runtime cannot load …: …", "The reason of ONNX Runtime follows.", damaged_graph),
    Case("the bundle … lacks the plan of reconstruction; export it again",
         "manifest.json was edited.", without_a_plan),
    Case("backend is …; it must be one of …", "What runs the graphs.",
         lambda place: Engine(place.bundle(), backend="abacus")),
]  # fmt: skip
