"""Folders and files become examples; what is damaged is named and left out."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from samples.stored_objects import write_capture, write_gobjaverse
from samples.tiny_models import tiny_config
from samples.training import meshes, posed_object, tiny_recipe

from geolrm.engine.errors import InputError
from geolrm.training.data.gobjaverse import DISTINCT_VIEWS
from geolrm.training.data.posed_object import PosedObject
from geolrm.training.data.prefetch import Prefetched
from geolrm.training.recipes import NO_AUGMENTATION
from geolrm.training.sources import EpisodeSource, StoredObject, load_source


def recipe(grid=32, **fields):
    config = tiny_config()
    config = replace(config, proposal=replace(config.proposal, grid_size=grid))
    return tiny_recipe(config, augmentation=NO_AUGMENTATION, **fields)


@pytest.fixture(scope="module")
def posed():
    return posed_object(size=48)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_an_example_depends_on_its_number_alone(posed):
    objects = [*meshes(3), StoredObject(lambda: posed)]
    names = ["a", "b", "c", "posed"]
    source = EpisodeSource(objects, names, tiny_recipe())
    ahead = Prefetched(EpisodeSource(objects, names, tiny_recipe()), workers=2, stride=2)
    for number in (3, 5, 0, 7):
        first, again = source[number], ahead[number]
        assert first.name == again.name
        assert torch.equal(first.target_rgba, again.target_rgba)
        assert torch.equal(first.foreground, again.foreground)
    ahead.close()
    assert {source[number].name for number in range(4)} == set(names)


def test_broken_objects_are_named_once_and_left_out(posed, tmp_path):
    def broken():
        raise InputError("its depth is damaged")

    source = EpisodeSource(
        [StoredObject(broken), StoredObject(lambda: posed)], ["bad", "good"], tiny_recipe()
    )
    with pytest.warns(UserWarning, match="leaving out bad: its depth is damaged") as caught:
        assert {source[number].name for number in range(4)} == {"good"}
    assert len(caught) == 1
    few = PosedObject(posed.rgba[:2], posed.depth[:2], _first(posed.cameras, 2), posed.points)
    source = EpisodeSource([StoredObject(lambda: few)], ["few"], tiny_recipe())
    with (
        pytest.raises(InputError, match="none of the 1 objects can be trained on"),
        pytest.warns(UserWarning, match="few has 2 views; 2 inputs and a target are needed"),
    ):
        source[0]


def _first(cameras, count):
    return type(cameras)(cameras.c2w[:count], cameras.intrinsics[:count])


def write_glb(path, color=(200, 40, 40)):
    trimesh = pytest.importorskip("trimesh")
    box = trimesh.creation.box()
    image = Image.new("RGB", (8, 8), color)
    uv = np.random.default_rng(0).random((len(box.vertices), 2))
    box.visual = trimesh.visual.TextureVisuals(
        uv=uv, material=trimesh.visual.material.PBRMaterial(baseColorTexture=image)
    )
    box.export(path)


def test_kinds_of_data_are_found_by_path(posed, tmp_path):
    pytest.importorskip("OpenEXR")
    (tmp_path / "meshes" / "more").mkdir(parents=True)
    write_glb(tmp_path / "meshes" / "b.glb")
    write_glb(tmp_path / "meshes" / "more" / "a.glb")
    write_capture(tmp_path / "captures" / "one", posed)
    write_gobjaverse(tmp_path / "objaverse" / "0" / "10010", posed, DISTINCT_VIEWS)
    write_gobjaverse(tmp_path / "nested" / "0" / "7" / "campos_512_v4", posed, DISTINCT_VIEWS)
    names = {
        "meshes": ["b", "a"],
        "meshes/b.glb": ["b"],
        "captures": ["one"],
        "captures/one": ["one"],
        "objaverse": ["0/10010"],
        "nested": ["0/7/campos_512_v4"],
    }
    for path, expected in names.items():
        source = load_source([tmp_path / path], tiny_recipe(), tmp_path / "cache")
        assert source.names == expected, path
        assert source[0].name == expected[0] or source[0].name in expected
    both = load_source([tmp_path / "meshes", "procedural:3"], tiny_recipe())
    assert both.names == ["b", "a", "shape0", "shape1", "shape2"]
    assert len(load_source(["procedural"], tiny_recipe())) == 100


def test_damaged_meshes_are_named_and_left_out(tmp_path):
    write_glb(tmp_path / "good.glb")
    (tmp_path / "bad.glb").write_bytes((tmp_path / "good.glb").read_bytes()[:400])
    with pytest.warns(UserWarning, match=r"leaving out bad: .*bad\.glb' cannot be read as glTF"):
        assert load_source([tmp_path], tiny_recipe()).names == ["good"]
    (tmp_path / "good.glb").unlink()
    with (
        pytest.raises(InputError, match=r"none of the meshes in .* can be read"),
        pytest.warns(UserWarning, match="leaving out bad"),
    ):
        load_source([tmp_path], tiny_recipe())


def test_a_damaged_capture_is_named_and_left_out(posed, tmp_path):
    write_capture(tmp_path / "one", posed)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two" / "depth" / "003.png").write_bytes(b"nothing")
    source = load_source([tmp_path], tiny_recipe())
    with pytest.warns(UserWarning, match=r"leaving out two: depth .*003\.png"):
        assert {source[number].name for number in range(4)} == {"one"}


@pytest.mark.parametrize(
    "path, message",
    [
        ("nowhere", "'nowhere' does not exist; give a folder of .glb meshes"),
        ("procedural:0", "must be procedural:COUNT, with COUNT from 1"),
        ("procedural:x", "must be procedural:COUNT"),
    ],
)
def test_paths_that_hold_nothing_are_refused(path, message):
    with pytest.raises(InputError, match=message):
        load_source([path], tiny_recipe())


def test_empty_folders_and_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds nothing to train on"):
        load_source([tmp_path], tiny_recipe())
    (tmp_path / "a.obj").write_text("o")
    with pytest.raises(InputError, match=r"is no folder and no \.glb file"):
        load_source([tmp_path / "a.obj"], tiny_recipe())


def test_objects_are_seen_so_many_times_as_often_and_by_name(tmp_path):
    folder = tmp_path / "a=b"
    write_capture(folder / "one", posed_object(size=24))
    write_capture(tmp_path / "more" / "two", posed_object(size=24))
    write_capture(tmp_path / "more" / "three", posed_object(size=24))
    source = load_source([folder, f"{tmp_path / 'more'}=3"], tiny_recipe())
    assert sorted(source.names) == ["one", *3 * ["three"], *3 * ["two"]]
    seen = [source[number].name for number in range(7)]
    assert sorted(seen) == sorted(source.names)
    chosen = load_source([f"{folder}=2", tmp_path / "more"], tiny_recipe(), chosen="one".__eq__)
    assert chosen.names == ["one", "one"]


@pytest.mark.parametrize("times", ["0", "101", "many", "1.5", ""])
def test_times_are_whole_numbers(tmp_path, times):
    (tmp_path / "meshes").mkdir()
    with pytest.raises(InputError) as caught:
        load_source([f"{tmp_path / 'meshes'}={times}"], tiny_recipe())
    assert str(caught.value) == (
        f"--data '{tmp_path / 'meshes'}={times}' does not exist; after = must stand how many times "
        "as often its objects are seen, a whole number from 1 to 100"
    )
