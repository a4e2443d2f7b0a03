"""What is kept on disk comes back bit for bit, or is made anew; it is never something else."""

import warnings

import numpy as np
import pytest

from geolrm.engine.errors import InputError
from geolrm.training.data import cache as cache_module
from geolrm.training.data.cache import Cache
from geolrm.training.data.meshes import compose, render_object
from geolrm.training.data.shapes import SHAPES, procedural_mesh

trimesh = pytest.importorskip("trimesh")


@pytest.fixture
def glb(tmp_path):
    from PIL import Image

    mesh = SHAPES[2](np.random.default_rng(0))
    image = Image.fromarray(mesh.textures[0][:16, :16])
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=image)
    visual = trimesh.visual.TextureVisuals(uv=mesh.uv, material=material)
    path = tmp_path / "thing.glb"
    trimesh.Trimesh(mesh.vertices / 8, mesh.faces, visual=visual, process=False).export(path)
    return path


def same_mesh(first, second):
    for name in ("vertices", "faces", "uv", "face_texture"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert getattr(first, name).dtype == getattr(second, name).dtype
    for texture, other in zip(first.textures, second.textures, strict=True):
        np.testing.assert_array_equal(texture, other)


def same_object(first, second):
    for name in ("rgba", "depth", "points"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(first.cameras.c2w, second.cameras.c2w)
    np.testing.assert_array_equal(first.cameras.intrinsics, second.cameras.intrinsics)


def entries(cache):
    return sorted(cache.folder.glob("*.npz"))


def no_making(*_args, **_options):
    raise AssertionError("it was made again")


def test_meshes_are_decoded_once(glb, tmp_path, monkeypatch):
    cache = Cache(tmp_path / "kept")
    first = cache.mesh(glb)
    monkeypatch.setattr(cache_module, "load_glb", no_making)
    same_mesh(first, cache.mesh(glb))
    moved = glb.rename(tmp_path / "renamed.glb")
    same_mesh(first, cache.mesh(moved))  # the content counts, not the name
    assert len(entries(cache)) == 1 and len(list(cache.folder.iterdir())) == 1
    moved.write_bytes(moved.read_bytes() + b"    ")
    with pytest.raises(AssertionError):
        cache.mesh(moved)


def test_rendered_objects(glb, tmp_path, monkeypatch):
    cache = Cache(tmp_path / "kept")
    first = cache.rendered(glb, 1, 16, points=200)
    same_object(first, render_object(cache.mesh(glb), np.random.default_rng(1), 16, points=200))
    monkeypatch.setattr(cache_module, "render_object", no_making)
    same_object(first, cache.rendered(glb, 1, 16, points=200, threads=2))
    for other in ({"seed": 2}, {"size": 17}, {"points": 201}, {"supersample": 2}):
        with pytest.raises(AssertionError):
            cache.rendered(glb, **({"seed": 1, "size": 16, "points": 200} | other))
    monkeypatch.setattr(cache_module, "RENDERER_VERSION", 999)
    with pytest.raises(AssertionError):
        cache.rendered(glb, 1, 16, points=200)


def test_objects_of_any_source(tmp_path):
    cache = Cache(tmp_path / "kept")
    made = []

    def make():
        made.append(
            render_object(
                procedural_mesh(np.random.default_rng(1)), np.random.default_rng(0), 16, points=50
            )
        )
        return made[-1]

    same_object(cache.posed("procedural 1", make), cache.posed("procedural 1", make))
    assert len(made) == 1
    cache.posed("procedural 2", make)
    assert len(made) == 2


def test_composed_meshes_keep_the_order_of_their_textures(tmp_path):
    parts = [SHAPES[2](np.random.default_rng(seed)) for seed in range(6)]
    mesh = compose(parts)
    assert len(mesh.textures) > 10  # texture_10 sorts before texture_2
    cache = Cache(tmp_path)
    pack, unpack = cache_module._pack_mesh, cache_module._mesh
    cache.get("key", lambda: mesh, pack, unpack)
    same_mesh(mesh, cache.get("key", no_making, pack, unpack))


def test_damage_is_never_used(glb, tmp_path):
    cache = Cache(tmp_path / "kept")
    sound = cache.mesh(glb)
    (file,) = entries(cache)
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    for trial in range(150):
        broken = bytearray(content)
        if trial % 3 == 0:
            broken = broken[: int(rng.integers(len(content)))]
        else:
            for place in rng.integers(0, len(content), 1 + trial % 4):
                broken[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(broken)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            same_mesh(sound, cache.mesh(glb))
        noticed += bool(caught)
        assert not caught or "is made anew" in str(caught[0].message)
        if caught:
            assert file.read_bytes() == content, "the sound entry is back"
    assert noticed > 100  # the rest hit bytes that mean nothing
    file.write_bytes(content)


def test_an_entry_of_another_key_is_not_used(glb, tmp_path):
    cache = Cache(tmp_path / "kept")
    cache.rendered(glb, 1, 16, points=50)
    first = next(f for f in entries(cache) if "rgba" in np.load(f).files)
    expected = cache.rendered(glb, 2, 16, points=50)
    second = next(f for f in entries(cache) if "rgba" in np.load(f).files and f != first)
    second.write_bytes(first.read_bytes())
    with pytest.warns(UserWarning, match="do not have the digest"):
        same_object(expected, cache.rendered(glb, 2, 16, points=50))


def test_pickles_are_not_opened(glb, tmp_path):
    cache = Cache(tmp_path / "kept")
    sound = cache.mesh(glb)
    (file,) = entries(cache)
    np.savez(file, digest=np.array([{}], object))
    with pytest.warns(UserWarning, match="allow_pickle"):
        same_mesh(sound, cache.mesh(glb))


def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        Cache(tmp_path / "file" / "kept")
    with pytest.raises(InputError, match=r"missing\.glb' is no file"):
        Cache(tmp_path).mesh(tmp_path / "missing.glb")
    assert repr(Cache(tmp_path)) == f"Cache({str(tmp_path)!r})"
