"""geolrm-train: recipes, runs and checkpoints."""

import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import torch
from errors.case import Case
from safetensors.torch import save_file
from samples.tiny_models import tiny_config
from samples.training import meshes, run, tiny_recipe
from torch.multiprocessing.spawn import ProcessExitedException

from geolrm import GeoLRMError
from geolrm.export.model import SplatUpdateConfig
from geolrm.training import launch, perceptual, processes
from geolrm.training.config import Recipe, ViewConfig
from geolrm.training.data.augmentation import AugmentationConfig
from geolrm.training.data.conditions import ConditionConfig
from geolrm.training.loop import start
from geolrm.training.ranks import Process
from geolrm.training.recipe_files import assignments, load_recipe
from geolrm.training.run_folder import RunFolder, read_checkpoint
from geolrm.training.sources import EpisodeSource
from geolrm.training.switches import switched


def recipe(content):
    def trigger(place):
        (place.tmp / "a.toml").write_text(content)
        return load_recipe(str(place.tmp / "a.toml"))

    return trigger


def recipe_of_a_list(place):
    (place.tmp / "a.json").write_text("[]")
    return load_recipe(str(place.tmp / "a.json"))


def on(available=False, count=0, **options):
    """Which device a run would take on such a machine."""

    def trigger(place):
        place.patch.setattr(torch.cuda, "is_available", lambda: available)
        place.patch.setattr(torch.cuda, "device_count", lambda: count)
        place.patch.setitem(sys.modules, "gsplat", None)
        defaults = {"device": "auto", "rasterizer": "auto", "processes": 1}
        return launch.device_kind(SimpleNamespace(**(defaults | options)))

    return trigger


class Poisoned(EpisodeSource):
    def __getitem__(self, number):
        episode = super().__getitem__(number)
        episode.target_rgba[:] = math.nan
        return episode


def diverging(place):
    settings = tiny_recipe(steps=1)
    return run(place.tmp / "run", settings, Poisoned(meshes(1), ["first"], settings))


def begun(change=lambda folder: None, **fields):
    """Go on with a run of no step yet, after a change of its folder."""

    def trigger(place):
        settings = tiny_recipe()
        folder = RunFolder(place.tmp / "run")
        folder.start(settings, {"geolrm": "test"})
        state = start(settings, folder, Process(), None)
        state.step = 2
        folder.save(state)
        change(folder)
        again = replace(settings, **fields)
        folder.start(again, {})
        return start(again, folder, Process(), None)

    return trigger


def cut(folder):
    (file,) = folder.checkpoints()
    file.write_bytes(file.read_bytes()[:1000])


def checkpoint_of(change):
    def trigger(place):
        return begun(lambda folder: read_checkpoint(change(folder)))(place)

    return trigger


def shortened(folder):
    cut(folder)
    return folder.checkpoints()[0]


def without_note(folder):
    (file,) = folder.checkpoints()
    file.with_suffix(".json").write_text("{")
    return file


def other_tensors(place):
    settings = tiny_recipe()
    folder = RunFolder(place.tmp / "run")
    folder.start(settings, {})
    return start(settings, folder, Process(), None).restore({"a": torch.zeros(1)}, 1)


def run_file(content):
    def change(folder):
        (folder.path / "run.json").write_text(content)

    return begun(change)


def over_a_file(place):
    (place.tmp / "run").write_text("")
    return RunFolder(place.tmp / "run").check(tiny_recipe())


def alone(stage):
    """A stage that freezes what was never trained."""

    def trigger(place):
        model = replace(tiny_config(), update=SplatUpdateConfig())
        settings = tiny_recipe(model, stage=stage)
        folder = RunFolder(place.tmp / "run")
        folder.start(settings, {})
        return start(settings, folder, Process(), None)

    return trigger


class Network(torch.nn.Module):
    """With a tensor of the name of one of LPIPS."""

    def __init__(self):
        super().__init__()
        self.lin0 = torch.nn.Module()
        self.lin0.model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(1, 1, bias=False))


def lpips(tensors):
    def trigger(place):
        place.patch.setattr(perceptual, "_network", Network)
        save_file(tensors, str(place.tmp / "a.safetensors"))
        measure = perceptual.load_lpips(place.tmp / "a.safetensors", torch.device("cpu"))
        return measure(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))

    return trigger


def without_torchmetrics(place):
    place.patch.setitem(sys.modules, "torchvision", None)
    return perceptual._network()


def dying(told=None):
    """Processes one of which ends, by an error of its own or without a word."""

    def trigger(place):
        def spawn(enter, arguments, count, join):
            if told is not None:
                arguments[-1].put(told)

            def wait(timeout):
                error = ProcessExitedException(
                    "ended", error_index=1, error_pid=1, exit_code=-9, signal_name="SIGKILL"
                )
                raise error

            return SimpleNamespace(join=wait)

        place.patch.setattr(processes, "spawn", spawn)
        return processes.run_processes(lambda *_: None, None, 2)

    return trigger


CASES = [
    "Recipes and switches",
    Case("there is no recipe …; choose one of …, or name a .toml or .json file", "Check the name.",
         lambda place: load_recipe("none")),
    Case("…: base is …; it must be one of …", "What a recipe starts from.",
         recipe('base = "none"')),
    Case("… cannot be read: …", "No TOML or JSON; the reason follows.", recipe("= =")),
    Case("… holds no fields of a recipe; give an object of them", "The file is a list.",
         recipe_of_a_list),
    Case("… makes no recipe: …", "The field and what it must be follow.",
         recipe('base = "smoke"\nsteps = "many"')),
    Case("…: colour is no field of a recipe; a recipe has …", "Check the name.",
         recipe('base = "smoke"\ncolour = 1')),
    Case("--set is …; it must be FIELD=VALUE, such as losses.mse=4", "Of geolrm-train.",
         lambda place: assignments(["mse"])),
    Case("--set … contradicts another --set; give each field once", "Of geolrm-train.",
         lambda place: assignments(["losses=1", "losses.mse=4"])),
    Case("--set 'steps=2' contradicts another --set; give each field once", "Of geolrm-train.",
         lambda place: assignments(["steps=1", "steps=2"])),
    Case("targets is 0; it must be 1 or more", "Of a recipe; so are all its numbers checked.",
         lambda place: ViewConfig(2, 3, targets=0)),
    Case("… is …; it must be a probability, 0 to 1", "Of a recipe's augmentation.",
         lambda place: AugmentationConfig(2.0)),
    Case("lamp is …; it must be a number from 0 to 1", "Of a recipe's conditions.",
         lambda place: ConditionConfig(lamp=2.0)),
    Case("stage is 'refinement', but the model has no update network; set model.update, as the …",
         "Of a recipe.", lambda place: tiny_recipe(stage="refinement")),
    Case("stage is 'closing', but the model has no closing network; set model.closing, as the …",
         "Of a recipe.",
         lambda place: Recipe(
             replace(tiny_config(), update=SplatUpdateConfig()), 1, stage="closing")),
    Case("--without is …; it must be one of …", "Of geolrm-train.",
         lambda place: switched(tiny_recipe(), ["colour"])),
    Case("--points is -1; it must be 0 or more", "Of geolrm-train.",
         lambda place: switched(tiny_recipe(), points=-1)),
    Case("--self-attention is …; it must be 'token' or 'head'", "Of geolrm-train.",
         lambda place: switched(tiny_recipe(), self_attention="both")),
    Case("the encoder needs use_low_level or use_high_level; both are off",
         "Something of the images must remain.",
         lambda place: switched(tiny_recipe(), ["low-level", "high-level"])),
    "Devices and processes",
    Case("--rasterizer is 'gsplat', which renders on CUDA alone, but the run is on the CPU; …",
         "Of geolrm-train.", on(rasterizer="gsplat")),
    Case("--device is 'cuda', but torch finds no CUDA device; use --device cpu, or install a …",
         "Of geolrm-train.", on(device="cuda")),
    Case("--processes is 4, but there are 2 CUDA devices; each process needs one",
         "Of geolrm-train.", on(available=True, count=2, processes=4)),
    Case("training on CUDA rasterizes with gsplat, which cannot be imported (…); run: pip …",
         "Of geolrm-train.", on(available=True, count=1)),
    Case("process 1 of the training ended by SIGKILL (perhaps for lack of memory); the same …",
         "Of geolrm-train --processes.", dying()),
    Case("no: what a process says itself", "Errors of processes come through as they are.",
         dying(GeoLRMError("no: what a process says itself"))),
    "Runs and checkpoints",
    Case("… is a file; name a folder with -o", "Of geolrm-train.", over_a_file),
    Case("… holds a run of another recipe (it differs in …); continue it with its own settings, …",
         "One folder holds one run.", begun(seed=5)),
    Case("… does not describe a run (…); it may be damaged: choose another folder",
         "run.json was changed.", run_file("[]")),
    Case("the run in … is at step 2, beyond the 1 asked for; give more steps",
         "Of geolrm-train --steps.", begun(steps=1)),
    Case("stage is 'reconstruction', which freezes the proposal; give the checkpoint of a …",
         "Of geolrm-train paper-stage2.", alone("reconstruction")),
    Case("stage is 'refinement', which freezes the model that it refines; give the checkpoint …",
         "Of geolrm-train refinement.", alone("refinement")),
    Case("none of the 1 checkpoints in … is sound; restore one, or train into another folder",
         "Each damaged one was named in a warning, and is kept.", begun(cut)),
    Case("it is damaged: its hash is not the recorded one", "Of a checkpoint, in a warning.",
         checkpoint_of(shortened)),
    Case("it cannot be read: …", "Of a checkpoint, in a warning.", checkpoint_of(without_note)),
    Case("it does not fit this model: … tensors are missing, unknown or misshapen (…)",
         "Of a checkpoint, in a warning.", other_tensors),
    Case("training diverged at step 0: …", "The losses, objects and last checkpoint follow.",
         diverging),
    "LPIPS",
    Case("no LPIPS weights at …; give a state dict of LPIPS with VGG-16, or leave …",
         "Of losses.lpips_weights.",
         lambda place: perceptual.load_lpips(place.tmp / "none.pt", torch.device("cpu"))),
    Case("… holds no LPIPS with VGG-16: … of its … tensors are missing or misshapen (…); give …",
         "Of losses.lpips_weights.", lpips({"a": torch.zeros(1)})),
    Case("…: tensor … holds NaN or infinity; weights of LPIPS must be finite: restore the file",
         "Of losses.lpips_weights.",
         lpips({"lin0.model.1.weight": torch.full((1, 1), torch.nan)})),
    Case("targets have 8 px; LPIPS needs … or more: raise views.target_size",
         "Of losses.lpips_weights.", lpips({"lin0.model.1.weight": torch.zeros(1, 1)})),
    Case("losses.lpips_weights needs torchmetrics and torchvision (…); run: pip install …",
         "Or train with SSIM.", without_torchmetrics),
]  # fmt: skip
