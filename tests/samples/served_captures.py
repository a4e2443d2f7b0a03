"""Small captures as clients send them."""

import functools
import io
import json
import tempfile
import zipfile
from pathlib import Path

from samples.capture_files import box_cameras, box_photos, write_transforms


def zipped(files, method=zipfile.ZIP_STORED):
    """The bytes of a zip file of contents by name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


@functools.cache
def box_files(views=4):
    """The files of a capture of a coloured box, by name; 64 px a view."""
    cameras = box_cameras(views)
    with tempfile.TemporaryDirectory() as made:
        folder = write_transforms(Path(made), box_photos(cameras), cameras)
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


@functools.cache
def box_zip(views=4):
    return zipped(box_files(views))


def box_form(views=4, folder="C:\\photos\\"):
    """The same as parts of a form, for httpx; names are as some browser sends them."""
    files = dict(box_files(views))
    transforms = files.pop("transforms.json")
    parts = [("images", (folder + name, content, "image/png")) for name, content in files.items()]
    return [*parts, ("transforms", ("transforms.json", transforms, "application/json"))]


def renamed_box(names, views=4):
    """The zip with other paths in its transforms.json."""
    files = dict(box_files(views))
    content = json.loads(files["transforms.json"])
    for frame, name in zip(content["frames"], names, strict=False):
        frame["file_path"] = name
    return zipped(files | {"transforms.json": json.dumps(content)})


def box_view(index):
    """The image of one view, PNG, and its pose [4, 4] as lists."""
    return box_files()[f"rgb/{index}.png"], box_cameras(4).c2w[index].tolist()
