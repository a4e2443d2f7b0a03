"""Meshes on disk and in memory: read, put together, rendered in the object frame, sampled."""

import numpy as np
import pytest
from harness.data import full_data, needs_full_data

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.meshing.mesh import surface_points
from geolrm.training.data.meshes import Mesh, compose, load_glb, render_mesh

trimesh = pytest.importorskip("trimesh")

FACING_X = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def wall(x=0.0, half=0.4, color=(255, 0, 0)):
    """A square in the plane x, seen upright and not mirrored from a camera on +x."""
    corners = [[x, -half, half], [x, half, half], [x, half, -half], [x, -half, -half]]
    uv = [[0, 1], [1, 1], [1, 0], [0, 0]]
    texture = np.full((4, 4, 3), color, np.uint8)
    return Mesh(np.array(corners, np.float32), FACING_X, np.array(uv, np.float32), (texture,))


def textured(half=0.4):
    texture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    mesh = wall(half=half)
    return Mesh(mesh.vertices, mesh.faces, mesh.uv, (texture,))


def test_the_object_frame_and_the_camera_conventions():
    fov = 50.0
    half = 1.7 * np.tan(np.deg2rad(fov / 2))  # the wall fills the picture of a camera 1.7 away
    mesh = textured(half)
    cameras = Cameras.orbit([0.0, 180.0], 0.0, 1.7, fov)
    rgb, alpha, depth = render_mesh(mesh, cameras, 8)
    np.testing.assert_allclose(depth, 1.7, rtol=1e-6)
    np.testing.assert_array_equal(alpha, 1)
    single, _, _ = render_mesh(mesh, cameras, 8, supersample=1)
    np.testing.assert_allclose(single[0], mesh.textures[0] / 255, atol=1e-4)
    np.testing.assert_allclose(single[1], mesh.textures[0][:, ::-1] / 255, atol=1e-4)  # from behind
    assert rgb.shape == (2, 8, 8, 3) and rgb.dtype == alpha.dtype == depth.dtype == np.float32


def test_composed_objects_keep_their_textures():
    both = compose([wall(-0.2, 0.4, (255, 0, 0)), wall(0.2, 0.2, (0, 0, 255))])
    cameras = Cameras.orbit([0.0, 180.0], 0.0, 1.8, 50.0)
    rgb, alpha, depth = render_mesh(both, cameras, 33)
    np.testing.assert_allclose(rgb[0, 16, 16], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(rgb[1, 16, 16], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(depth[:, 16, 16], 1.6, rtol=1e-6)
    assert set(np.unique(np.round(rgb[alpha == 1].sum(-1), 4))) == {1.0}
    three = compose([both, wall(0.4, 0.1, (0, 255, 0))])
    assert len(three.textures) == 3 and three.face_texture.tolist() == [0, 0, 1, 1, 2, 2]
    rgb, _, _ = render_mesh(three, cameras[[0]], 33)
    np.testing.assert_allclose(rgb[0, 16, 16], [0, 1, 0], atol=1e-6)


def test_surface_points_are_uniform_over_the_area():
    mesh = compose([wall(-0.25, 0.4), wall(0.25, 0.2)])  # areas 4 : 1
    points = surface_points(mesh.vertices, mesh.faces, 20000, np.random.default_rng(0))
    assert points.shape == (20000, 3) and points.dtype == np.float32
    large = points[:, 0] < 0
    assert abs(large.mean() - 0.8) < 0.01
    plane = points[large][:, 1:]
    assert np.abs(plane).max() <= 0.4 + 1e-6
    counts, _, _ = np.histogram2d(*plane.T, bins=8, range=[[-0.4, 0.4]] * 2)
    assert abs(counts / counts.mean() - 1).max() < 0.25
    again = surface_points(mesh.vertices, mesh.faces, 20000, np.random.default_rng(0))
    np.testing.assert_array_equal(points, again)


def test_a_mesh_survives_the_file(tmp_path):
    from PIL import Image

    mesh = textured()
    visual = trimesh.visual.TextureVisuals(
        uv=mesh.uv,
        material=trimesh.visual.material.PBRMaterial(
            baseColorTexture=Image.fromarray(mesh.textures[0])
        ),
    )
    stored = trimesh.Trimesh(mesh.vertices, mesh.faces, visual=visual, process=False)
    stored.export(tmp_path / "wall.glb")
    loaded = load_glb(tmp_path / "wall.glb")
    np.testing.assert_array_equal(loaded.vertices, mesh.vertices)
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    np.testing.assert_allclose(loaded.uv, mesh.uv, atol=1e-6)
    np.testing.assert_array_equal(loaded.textures[0], mesh.textures[0])

    damaged = tmp_path / "damaged.glb"
    damaged.write_bytes((tmp_path / "wall.glb").read_bytes()[:700])
    with pytest.raises(InputError, match=r"damaged\.glb' cannot be read as glTF"):
        load_glb(damaged)
    trimesh.creation.box().export(tmp_path / "plain.glb")
    with pytest.raises(InputError, match=r"plain\.glb' has no texture coordinates"):
        load_glb(tmp_path / "plain.glb")
    with pytest.raises(InputError, match=r"missing\.glb' is no file"):
        load_glb(tmp_path / "missing.glb")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"vertices": np.zeros((4, 3))},
            r"vertices of the mesh is float64 \[4, 3\]; it must be float32",
        ),
        (
            {"uv": np.zeros((3, 2), np.float32)},
            r"uv of the mesh is float32 \[3, 2\]; it must be float32 \[4, 2\]",
        ),
        ({"faces": np.zeros((0, 3), np.int32)}, "the mesh has no faces"),
        ({"faces": FACING_X + 1}, "faces of the mesh holds indices 1 to 4; they must be 0 to 3"),
        ({"textures": ()}, "face_texture of the mesh holds indices 0 to 0; they must be 0 to -1"),
        ({"uv": np.full((4, 2), np.nan, np.float32)}, "uv of the mesh holds NaN"),
    ],
)
def test_what_does_not_fit_is_refused(change, text):
    mesh = wall()
    fields = {n: getattr(mesh, n) for n in ("vertices", "faces", "uv", "textures")} | change
    with pytest.raises(InputError, match=text):
        Mesh(**fields)


def test_rendering_and_sampling_refuse_in_one_sentence():
    cameras = Cameras.orbit([0.0], 0.0, 1.7, 50.0)
    with pytest.raises(InputError, match="supersample is 0; it must be 1 to 16"):
        render_mesh(wall(), cameras, 8, supersample=0)
    with pytest.raises(InputError, match="no meshes were given"):
        compose([])
    with pytest.raises(InputError, match="the mesh has no area"):
        surface_points(wall(half=0).vertices, wall(half=0).faces, 5, np.random.default_rng(0))


@needs_full_data
def test_the_training_meshes_load():
    paths = sorted(full_data("data/train/glb").glob("*.glb"))
    assert len(paths) == 156
    for path in paths:
        mesh = load_glb(path)
        assert 0 < len(mesh.faces) <= 5000, path
        assert mesh.textures[0].shape == (512, 512, 3), path
        low, high = mesh.vertices.min(0), mesh.vertices.max(0)
        assert abs((high - low).max() - 1) < 5e-3 and np.abs(low + high).max() < 6e-3, path


def cast(mesh, origin, rays):
    """[R] smallest t at which origin + t * ray meets a face, infinity where none is met."""
    a, b, c = mesh.vertices[mesh.faces].astype(np.float64).transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = ((a - origin) * normal).sum(-1) / (rays @ normal.T)  # [R, F]
        hit = origin + t[..., None] * rays[:, None]
        inside = np.ones(t.shape, bool)
        for p, q in ((a, b), (b, c), (c, a)):
            inside &= (np.cross(q - p, hit - p) * normal).sum(-1) >= 0
    return np.where(inside & (t > 0), t, np.inf).min(-1)


@needs_full_data
def test_a_training_mesh_agrees_with_ray_casting():
    mesh = load_glb(sorted(full_data("data/train/glb").glob("*.glb"))[0])
    cameras = Cameras.orbit([40.0], 20.0, 1.8, 50.0)
    _, _, depth = render_mesh(mesh, cameras, 64)
    column, row = np.meshgrid(np.arange(16, 48, 3), np.arange(16, 48, 3))
    tangent = np.tan(np.deg2rad(25.0))
    rays = np.stack(
        [
            ((column + 0.5) / 32 - 1) * tangent,
            -((row + 0.5) / 32 - 1) * tangent,
            -np.ones(column.shape),
        ],
        -1,
    ).reshape(-1, 3)
    expected = cast(mesh, cameras.c2w[0, :3, 3], rays @ cameras.c2w[0, :3, :3].T)
    seen = depth[0][row, column].reshape(-1)
    np.testing.assert_array_equal(seen > 0, np.isfinite(expected))
    assert (seen > 0).sum() > 10
    np.testing.assert_allclose(seen[seen > 0], expected[seen > 0], rtol=2e-6)
