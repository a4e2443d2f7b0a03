"""Captures of three views, cut out of the bundled banana: different ones, quick to reconstruct."""

import json
import shutil
import zipfile
from pathlib import Path

from geolrm.examples import capture_path

VIEWS = 3


def write_captures(folder, names):
    """Write a capture a name, each of views of its own."""
    for number, name in enumerate(names):
        write_capture(Path(folder) / name, first=number)
    return Path(folder)


def write_capture(folder, first=0):
    source = capture_path("banana")
    content = json.loads((source / "transforms.json").read_text())
    count = len(content["frames"])
    content["frames"] = [content["frames"][(first + 12 * view) % count] for view in range(VIEWS)]
    for frame in content["frames"]:
        image = next(source.glob(f"{frame['file_path']}*"))
        target = folder / image.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, target)
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def zip_capture(folder, target):
    """Pack a folder, its name as the first part of each path."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{folder.name}/{path.relative_to(folder)}")
    return target
