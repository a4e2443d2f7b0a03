"""Model bundles."""

import json
from types import SimpleNamespace

from errors.case import Case

from geolrm import Engine
from geolrm.engine import engine
from geolrm.engine.backends.cpu.onnxruntime_segment import OnnxRuntimeSegment
from geolrm.engine.bundle import manifest
from geolrm.engine.bundle.bundle import WEIGHTS_NAME, Bundle, file_sha256


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
    (place.tmp / "a.onnx").write_bytes(b"no graph")
    return OnnxRuntimeSegment(place.tmp / "a.onnx", 1)


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
    Case("… is not a plain file name", "manifest.json was edited, or is hostile.",
         damaged(odd_name, sign=True)),
    Case("… is used but not listed in manifest.json", "manifest.json was edited.",
         lambda place: Bundle.open(place.bundle()).file("other.onnx")),
    Case("… holds other voxel axes than this version of geolrm computes; export it again with …",
         "Made by another version of geolrm.", damaged(other_axes, sign=True)),
    Case("… lacks 'x'", "A weight that the manifest names.",
         lambda place: Bundle.open(place.bundle()).weights({"x"})),
    Case("… cannot be read: …", "The weights are no safetensors file.",
         damaged_weights),
    Case("ONNX Runtime cannot load …: …", "The reason of ONNX Runtime follows.", damaged_graph),
    Case("the bundle … lacks the plan of reconstruction; export it again",
         "manifest.json was edited.", without_a_plan),
    Case("backend is …; it must be one of …", "What runs the graphs.",
         lambda place: Engine(place.bundle(), backend="abacus")),
]  # fmt: skip
