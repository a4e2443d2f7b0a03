import numpy as np
from samples.gaussians import random_gaussians

from geolrm.bench import splat_scenes


def test_a_seed_repeats_its_scene_and_the_camera_sees_it_whole():
    scene, again = (splat_scenes.ring_and_ball(500, seed=3) for _ in range(2))
    np.testing.assert_array_equal(scene.means, again.means)
    assert scene.scales.min() >= 0.002 and scene.scales.max() <= 0.02
    points = scene.means @ scene.w2c[:3, :3].T + scene.w2c[:3, 3]
    pixels = points @ scene.intrinsics(512, 512).T
    pixels = pixels[:, :2] / pixels[:, 2:]
    assert points[:, 2].min() > 0 and pixels.min() > 0 and pixels.max() < 512
    assert set(scene.splats()) == {"means", "opacities", "scales", "quats", "colors"}


def test_scenes_of_files_and_of_numbers(tmp_path):
    assert len(splat_scenes.named("64").means) == 64
    splats = random_gaussians()
    splats.save(tmp_path / "a.ply")
    read = splat_scenes.named(str(tmp_path / "a.ply"))
    np.testing.assert_allclose(read.means, splats.means, atol=1e-6)
    np.testing.assert_array_equal(read.w2c, splat_scenes.W2C)
    arrays = {name: getattr(splats, name) for name in read.splats()}
    focal = np.array([[100.0, 0, 256], [0, 100, 256], [0, 0, 1]])
    np.savez(tmp_path / "a.npz", **arrays, viewmat_512=np.eye(4), K_512=focal)
    read = splat_scenes.named(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(read.w2c, np.eye(4))
    assert read.tan_half == 2.56 and read.intrinsics(512, 512)[0, 0] == 100
