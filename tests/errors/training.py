"""Checkpoints, exports and training."""

import numpy as np
from errors.case import Case
from PIL import Image

from geolrm import load_capture
from geolrm.examples import capture_path
from geolrm.export.checkpoint import load_checkpoint
from geolrm.training.data.captures import load_posed_capture
from geolrm.training.data.sources import find_objects
from geolrm.training.recipe_files import assignments, load_recipe


def checkpoint(name, content):
    def trigger(place):
        (place.tmp / name).write_bytes(content)
        return load_checkpoint(place.tmp / name)

    return trigger


def recipe(content):
    def trigger(place):
        (place.tmp / "a.toml").write_text(content)
        return load_recipe(str(place.tmp / "a.toml"))

    return trigger


def posed_folder(place):
    capture = load_capture(capture_path("lion")).subset([0])
    Image.fromarray(capture.images[0]).save(place.tmp / "0.png")
    np.save(place.tmp / "poses.npy", capture.cameras.c2w)
    return load_posed_capture(place.tmp)


CASES = [
    Case("no checkpoint at …; give a .ckpt or .safetensors file, or 'mini'", "Check the path.",
         lambda place: load_checkpoint(place.tmp / "none.ckpt")),
    Case("… is no readable safetensors file: …", "Damaged.",
         checkpoint("a.safetensors", b"nothing")),
    Case("… cannot be read as a plain state dict (…): it is damaged, or holds other objects than …",
         "Checkpoints are never unpickled.", checkpoint("a.ckpt", b"nothing")),
    Case("there is no recipe …; choose one of …, or name a .toml or .json file", "Check the name.",
         lambda place: load_recipe("none")),
    Case("…: base is …; it must be one of …", "What a recipe starts from.",
         recipe('base = "none"')),
    Case("… cannot be read: …", "No TOML or JSON; the reason follows.", recipe("= =")),
    Case("--set is …; it must be FIELD=VALUE, such as losses.mse=4", "Of geolrm-train.",
         lambda place: assignments(["mse"])),
    Case("--set … contradicts another --set; give each field once", "Of geolrm-train.",
         lambda place: assignments(["losses=1", "losses.mse=4"])),
    Case("… does not exist; give a folder of .glb meshes, of captures with depth …",
         "A path, or 'procedural'.",
         lambda place: list(find_objects(place.tmp / "none"))),
    Case("… holds nothing to train on; …", "What can be trained on follows.",
         lambda place: list(find_objects(place.tmp))),
    Case("… is of the kind 'poses', which names no depth; training needs a transforms.json with …",
         "Other kinds of captures are for reconstruction.", posed_folder),
]  # fmt: skip
