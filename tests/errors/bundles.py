"""Model bundles."""

import json

from errors.case import Case

from geolrm import Engine
from geolrm.engine import manifest
from geolrm.engine.bundle import Bundle


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
    Case("backend is …; it must be one of …", "What runs the graphs.",
         lambda place: Engine(place.bundle(), backend="abacus")),
]  # fmt: skip
