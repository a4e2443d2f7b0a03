"""The rasterizer's bench, on scenes small enough for a test."""

import re

import numpy as np
import pytest
from csrc.implementations import ISAS
from samples.gaussians import random_gaussians

from geolrm.bench import raster, splat_scenes


@pytest.fixture(autouse=True)
def matmul(monkeypatch):
    monkeypatch.setattr(raster, "matmul_gflops", lambda: 100.0)  # seconds of work otherwise


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "scene.npz"
    np.savez(path, **splat_scenes.ring_and_ball(3000).splats())
    return path


def test_every_figure_is_printed(npz, capsys):
    raster.main(["--scene", str(npz), "--sizes", "64", "--repeats", "3"])
    text = capsys.readouterr().out
    for threads in (1, 2):
        row = re.search(rf"^ +3000 +64 +{threads} +([\d.]+) +([\d.]+) +matmul \d+", text, re.M)
        assert 0 < float(row[1]) <= float(row[2])  # best and median
    for stage in ("project", "sort", "bin", "blend", "clear and output"):
        assert re.search(rf"\b{stage} \d+\.\d", text), stage
    assert float(re.search(r"([\d.]+) G splat-pixel pairs/s", text)[1]) > 0
    assert re.search(r"without occlusion culling: [\d.]+ times as long", text)
    for isa in ISAS[:-1]:
        slower = float(re.search(rf"the {isa} path: ([\d.]+) times", text)[1])
        assert slower > 0.3
    assert re.search(r"backward: [\d.]+ times as long as forward", text)
    assert "torch compositing: not run (--torch)" in text
    assert re.search(r"peak memory above the scene, .*scene.npz at 64 px: \d+ MB", text)


def test_the_torch_row_says_whose_projection_it_is(npz, capsys):
    pytest.importorskip("torch")
    from geolrm.bench.torch_compositing import projection_name

    raster.main(["--scene", str(npz), "--sizes", "32", "--repeats", "1", "--torch"])
    text = capsys.readouterr().out
    name = re.escape(projection_name())
    assert re.search(rf"torch: {name} projection with torch compositing: \d+ times", text)


@pytest.mark.parametrize("sh", [None, 4])
def test_splat_files_are_scenes(tmp_path, sh, capsys):
    random_gaussians(sh=sh).save(tmp_path / "a.ply")
    raster.main(["--scene", str(tmp_path / "a.ply"), "--sizes", "16", "--repeats", "1"])
    assert "50    16" in capsys.readouterr().out


def test_the_curves_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "curves.png"
    raster.plot(path, [10, 20], [1.0, 2.0], [16, 32], [1.0, 4.0])
    assert path.read_bytes().startswith(b"\x89PNG")
