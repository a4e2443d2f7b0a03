"""What is read equals what was written, within each format's precision."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geolrm import Gaussians
from geolrm.engine.formats.splat_files import decode, encode

SH_C0 = 0.28209479177387814


@st.composite
def scenes(draw):
    count = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    harmonics = draw(st.sampled_from([None, 1, 4, 9, 16]))
    quats = rng.standard_normal((count, 4))
    if draw(st.booleans()):  # components of equal size, exact zeros, negative ones
        quats = rng.integers(-1, 2, (count, 4)).astype(float)
        quats[~quats.any(axis=1)] = (0, 0, 0, -1)
    return Gaussians(
        means=rng.uniform(-1, 1, (count, 3)) * draw(st.sampled_from([0.5, 1e-4, 2000.0])),
        opacities=rng.uniform(1e-5, 1 - 1e-5, count),
        scales=np.exp(rng.uniform(-9.9, 5.9, (count, 3))),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        colors=rng.random((count, 3)) if harmonics is None else None,
        sh=None if harmonics is None else rng.uniform(-0.9, 0.9, (count, harmonics, 3)),
    )


def assert_same_rotations(read, written, atol):
    signs = np.sign((read * written).sum(axis=1, keepdims=True))  # q and -q turn alike
    np.testing.assert_allclose(read * signs, written, atol=atol)


def view_independent(gaussians):
    if gaussians.sh is None:
        return gaussians.colors
    return gaussians.sh[:, 0] * SH_C0 + 0.5


@settings(deadline=None)
@given(scenes(), st.sampled_from(["y", "z"]))
def test_ply_keeps_float32(scene, up):
    read = decode(encode(scene, ".ply", up=up), ".ply", up=up)
    np.testing.assert_array_equal(read.means, scene.means)
    np.testing.assert_allclose(read.opacities, scene.opacities, rtol=1e-5)
    np.testing.assert_allclose(read.scales, scene.scales, rtol=1e-5)
    assert_same_rotations(read.quats, scene.quats, 1e-6)
    np.testing.assert_allclose(view_independent(read), view_independent(scene), atol=1e-6)
    if scene.sh is not None and scene.sh.shape[1] > 1:
        np.testing.assert_allclose(read.sh, scene.sh, atol=1e-6 if up == "y" else 0)


@settings(deadline=None)
@given(scenes(), st.sampled_from(["y", "z"]))
def test_spz_keeps_its_steps(scene, up):
    far = np.abs(scene.means).max()
    read = decode(encode(scene, ".spz", up=up), ".spz", up=up)
    assert far < 2047  # 12 fraction bits reach to there
    np.testing.assert_allclose(read.means, scene.means, rtol=1e-6, atol=1.01 * 2**-13)
    np.testing.assert_allclose(read.opacities, scene.opacities, atol=0.501 / 255)
    np.testing.assert_allclose(np.log(read.scales), np.log(scene.scales), atol=1.01 / 32)
    assert_same_rotations(read.quats, scene.quats, 2.5e-3)
    limit = 0.501 / 255 / 0.15 * SH_C0
    np.testing.assert_allclose(view_independent(read), view_independent(scene), atol=limit)
    if scene.sh is not None and scene.sh.shape[1] > 1 and up == "z":
        np.testing.assert_allclose(read.sh[:, 1:4], scene.sh[:, 1:4], atol=4.01 / 128)
        np.testing.assert_allclose(read.sh[:, 4:], scene.sh[:, 4:], atol=8.01 / 128)


@pytest.mark.filterwarnings("ignore:.*no colours that depend on the view")
@settings(deadline=None)
@given(scenes(), st.sampled_from(["y", "z"]))
def test_splat_keeps_bytes(scene, up):
    read = decode(encode(scene, ".splat", up=up), ".splat", up=up)
    np.testing.assert_array_equal(read.means, scene.means)
    np.testing.assert_array_equal(read.scales, scene.scales)
    np.testing.assert_allclose(read.opacities, scene.opacities, atol=0.501 / 255)
    colors = view_independent(scene).clip(0, 1)
    np.testing.assert_allclose(read.colors, colors, atol=0.501 / 255)
    assert_same_rotations(read.quats, scene.quats, 1.01 / 128)


@settings(deadline=None)
@given(scenes())
def test_glb_keeps_float32(scene):
    read = decode(encode(scene, ".glb"), ".glb")
    np.testing.assert_array_equal(read.means, scene.means)
    np.testing.assert_array_equal(read.opacities, scene.opacities)
    np.testing.assert_array_equal(read.scales, scene.scales)
    assert_same_rotations(read.quats, scene.quats, 1e-6)
    np.testing.assert_allclose(view_independent(read), view_independent(scene), atol=1e-6)
    if scene.sh is not None and scene.sh.shape[1] > 1:
        np.testing.assert_allclose(read.sh, scene.sh, atol=1e-6)


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat"])
@pytest.mark.parametrize("harmonics", [None, 16])
@pytest.mark.filterwarnings("ignore")
def test_no_splats_are_a_file_too(tmp_path, suffix, harmonics):
    empty = Gaussians(
        means=np.empty((0, 3)),
        opacities=np.empty(0),
        scales=np.empty((0, 3)),
        quats=np.empty((0, 4)),
        colors=np.empty((0, 3)) if harmonics is None else None,
        sh=None if harmonics is None else np.empty((0, harmonics, 3)),
    )
    empty.save(tmp_path / f"a{suffix}")
    assert len(Gaussians.load(tmp_path / f"a{suffix}")) == 0


def test_a_far_splat_costs_spz_precision_and_says_so():
    scene = lone_splat(means=[[100_000.0, 0.25, 0]])
    with pytest.warns(UserWarning, match=r"1e\+05 from the origin, .* steps of 0\.015625; leave"):
        content = encode(scene, ".spz", up="z")
    read = decode(content, ".spz", up="z")
    np.testing.assert_allclose(read.means, scene.means, atol=0.5 / 64)


def test_a_wide_splat_is_narrowed_by_spz_with_a_warning():
    with pytest.warns(UserWarning, match=r"scale of 1e\+03; SPZ holds at most 379, which is wr"):
        content = encode(lone_splat(scales=[[1000.0, 1, 1]]), ".spz", up="z")
    read = decode(content, ".spz", up="z")
    np.testing.assert_allclose(read.scales[0], [np.exp(255 / 16 - 10), 1, 1], rtol=1e-5)


def test_rotations_of_any_length_are_written_as_unit_ones():
    for suffix in (".ply", ".spz", ".splat", ".glb"):
        read = decode(encode(lone_splat(quats=[[0, 0, 3.0, 0]]), suffix), suffix)
        assert_same_rotations(read.quats, np.array([[0, 0, 1.0, 0]]), 1e-6)
        read = decode(encode(lone_splat(quats=[[0, 0, 0, 0.0]]), suffix), suffix)
        assert_same_rotations(read.quats, np.array([[1.0, 0, 0, 0]]), 1e-6)


def lone_splat(**changes):
    fields = {
        "means": [[0, 0, 0]],
        "opacities": [0.5],
        "scales": [[0.1, 0.1, 0.1]],
        "quats": [[1, 0, 0, 0]],
        "colors": [[0.5, 0.5, 0.5]],
    }
    return Gaussians(**{name: np.array(value) for name, value in (fields | changes).items()})
