"""COLMAP sparse models: the frame they end up in, both forms of the files, and damage."""

import importlib.metadata
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from samples.capture_files import (
    on_white,
    photo_world,
    write_colmap_text,
    write_images,
)
from samples.known_shapes import box_splats

from geolrm import GeoLRMError, InputError, load_capture
from geolrm.engine.captures import read_capture
from geolrm.engine.captures.colmap_model import MODELS, read_model
from geolrm.engine.captures.fitting import FILL
from geolrm.engine.geometry.similarity import apply, move_poses


@pytest.fixture
def project(tmp_path, photos, cameras):
    return write_colmap_text(tmp_path / "project", photos, cameras)


def box_in(capture, world):
    """The box's Gaussians as they lie in the capture's object frame."""
    return box_splats().transformed(np.linalg.inv(capture.object_to_world) @ world)


@pytest.mark.parametrize("masks", [True, False])
def test_the_object_fills_the_cube_upright(tmp_path, photos, cameras, masks):
    noise = np.random.default_rng(0).integers(0, 100, (64, 64, 3), np.uint8)
    images = photos if masks else on_white(photos) // 2 + noise  # such surroundings are no mask
    capture = load_capture(write_colmap_text(tmp_path, images, cameras))
    assert len(capture) == 12 and capture.kind == "colmap"
    means = box_in(capture, photo_world()).means
    low, high = means.min(axis=0), means.max(axis=0)
    assert np.abs(low + high).max() < 0.03
    assert (high - low).max() == pytest.approx(FILL, abs=0.05)
    heights = means[:, 2] - means[:, 2].mean()
    flat = np.linalg.eigh(np.cov(means.T))[1][:, 0]  # the thinnest side is up
    assert abs(flat[2]) > 0.99 and np.ptp(heights) == pytest.approx((high - low)[2])
    assert capture.notes[0] == "z is the cameras' mean up"
    basis = "the points inside all masks" if masks else "the points"
    assert capture.notes[-1].startswith("the object was centred from (5")
    assert capture.notes[-1].endswith(basis)


def test_results_map_back(project, cameras):
    capture = load_capture(project)
    world = move_poses(capture.cameras.c2w, capture.object_to_world)
    expected = move_poses(cameras.c2w, photo_world())
    order = [int(name.removesuffix(".png")) for name in capture.names]
    np.testing.assert_allclose(world, expected[order], atol=1e-9)
    np.testing.assert_allclose(capture.cameras.intrinsics, cameras.intrinsics[order], atol=1e-12)
    drawn = box_in(capture, photo_world()).render(capture.cameras, (64, 64)).rgb
    pictures = on_white(np.stack(capture.images)) / 255
    assert np.abs(drawn - pictures).mean() < 0.01


def test_points_are_in_the_object_frame(project):
    capture = load_capture(project)
    assert capture.points is not None and len(capture.points) == 800
    inside = np.abs(capture.points[:500]).max(axis=1)
    assert inside.max() < 0.52
    np.testing.assert_allclose(
        apply(capture.object_to_world, capture.points[:2]),
        read_model(project / "sparse" / "0").points[:2],
        atol=1e-9,
    )


def test_binary_and_text_agree_with_pycolmap(project):
    """What pycolmap makes of our text, and we of its binary files."""
    pycolmap = pytest.importorskip("pycolmap")
    text = project / "sparse" / "0"
    theirs = pycolmap.Reconstruction(str(text))
    ours = read_model(text)
    by_name = {image.name: image for image in theirs.images.values()}
    for name, w2c in zip(ours.names, ours.w2c, strict=True):
        np.testing.assert_allclose(by_name[name].cam_from_world().matrix(), w2c[:3], atol=1e-12)
    np.testing.assert_allclose(
        sorted(p.xyz.tolist() for p in theirs.points3D.values()), sorted(ours.points.tolist())
    )
    binary = project / "binary"
    binary.mkdir()
    theirs.write_binary(str(binary))
    again = read_model(binary)
    assert again.names == ours.names and again.cameras == ours.cameras
    np.testing.assert_allclose(again.w2c, ours.w2c, atol=1e-12)
    np.testing.assert_allclose(sorted(again.points.tolist()), sorted(ours.points.tolist()))


@pytest.mark.parametrize("key", MODELS)
def test_every_camera_model_is_laid_out_as_pycolmap_has_it(key):
    pycolmap = pytest.importorskip("pycolmap")
    name, count, focals = MODELS[key]
    camera = pycolmap.Camera(
        model=name, width=64, height=48, params=[float(i + 1) for i in range(count)]
    )
    assert int(camera.model.value) == key
    assert list(camera.focal_length_idxs()) == list(range(focals))
    assert list(camera.principal_point_idxs()) == [focals, focals + 1]


def test_lens_distortion_is_removed(tmp_path, photos, cameras):
    """A grid through a distorting lens; straight lines are straight again."""
    pytest.importorskip("pycolmap")
    k, focal = 0.15, cameras.intrinsics[0, 0, 0] * 64
    images = np.stack([distort(photo, k, focal) for photo in photos])
    folder = write_colmap_text(tmp_path, images, cameras, model="SIMPLE_RADIAL", distortion=(k,))
    capture = load_capture(folder)
    assert "images whose lens distortion was removed: 12" in capture.notes
    drawn = [
        box_in(capture, photo_world()).render(capture.cameras[[i]], image.shape[1::-1]).alpha[0]
        for i, image in enumerate(capture.images)
    ]
    for alpha, image in zip(drawn, capture.images, strict=True):
        assert image.shape[2] == 4
        assert ((alpha >= 0.5) == (image[..., 3] >= 128)).mean() > 0.975


def distort(image, k, focal):
    """The picture that a lens with radial distortion k takes of a picture, by nearest pixel."""
    size = len(image)
    rows, columns = np.mgrid[:size, :size] + 0.5 - size / 2
    radius = np.hypot(rows, columns) / focal
    straight = radius.copy()
    for _ in range(50):
        straight = radius / (1 + k * straight**2)
    ratio = np.divide(straight, radius, out=np.ones_like(radius), where=radius > 0)
    at = [(np.floor(along * ratio + size / 2)).astype(int) for along in (rows, columns)]
    return image[at[0], at[1]]


def test_distortion_without_pycolmap_names_the_extra(tmp_path, photos, cameras, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    folder = write_colmap_text(tmp_path, photos, cameras, model="RADIAL", distortion=(0.1, 0))
    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(GeoLRMError, match=r"lens distortion \(RADIAL\), and correcting it needs "
                       r"pycolmap, .*'geolrm\[colmap\]', or undistort"):  # fmt: skip
        load_capture(folder)


@pytest.mark.parametrize("style", ["{stem}.png", "{name}.png"])
def test_masks_beside_the_images(tmp_path, photos, cameras, style):
    folder = write_colmap_text(tmp_path, on_white(photos) // 2, cameras)
    (folder / "masks").mkdir()
    for index, image in enumerate(photos):
        name = style.format(stem=index, name=f"{index}.png")
        Image.fromarray(image[..., 3]).save(folder / "masks" / name)
    capture = load_capture(folder)
    np.testing.assert_array_equal(capture.images[1][..., 3], photos[1][..., 3])
    assert capture.notes[-1].endswith("from the points inside all masks")


def test_masks_alone_are_enough(project):
    """Close cameras leave a hull that is larger than the box, and has a roof."""
    (project / "sparse" / "0" / "points3D.txt").unlink()
    capture = load_capture(project)
    assert capture.notes[-1].endswith("from what the masks agree on")
    means = box_in(capture, photo_world()).means
    assert np.abs(means.min(axis=0) + means.max(axis=0)).max() < 0.08
    assert 0.75 < np.ptp(means, axis=0).max() < FILL


def test_images_without_a_pose_and_large_ones_are_told(tmp_path, photos, cameras):
    folder = write_colmap_text(tmp_path, photos, cameras)
    write_images(folder / "images", np.resize(photos, (15, *photos[0].shape)))
    capture = read_capture(folder, longest_side=40)
    assert capture.notes[:2] == (
        "12 of 15 images have a pose; the others were left out",
        "images reduced to 40 px: 12",
    )
    assert capture.images[0].shape == (40, 40, 4)


def test_poses_without_a_common_up_keep_their_z(tmp_path, photos, cameras):
    rolled = cameras.c2w.copy()
    for index in range(0, 12, 2):
        rolled[index, :3, :2] *= -1
    from geolrm import Cameras

    turned = photos.copy()
    turned[::2] = turned[::2, ::-1, ::-1]
    folder = write_colmap_text(
        tmp_path, turned, Cameras(rolled, cameras.intrinsics), world=np.eye(4)
    )
    capture = load_capture(folder)
    assert "the cameras have no common up; z was kept as it is" in capture.notes
    np.testing.assert_allclose(capture.object_to_world[:3, :3] / capture.object_to_world[0, 0],
                               np.eye(3), atol=1e-12)  # fmt: skip


def edit_text(name, change):
    def apply_to(folder):
        file = folder / "sparse" / "0" / name
        file.write_text(change(file.read_text()))

    return apply_to


def remove_image(folder):
    (folder / "images" / "3.png").unlink()


def remove_images(folder):
    for file in (folder / "images").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_images, r"sparse/0: every one of the 12 images of the model is missing \(0.png, "
         r"1.png, 10.png, 11.png and 8 more\); put the images into a folder 'images' beside"),
        (edit_text("cameras.txt", lambda t: t.replace("7 PINHOLE", "8 PINHOLE")),
         r"images.txt: image '0.png' is of camera 7, which .*cameras.txt does not have"),
        (edit_text("cameras.txt", lambda t: t.replace("PINHOLE", "ODD")),
         r"cameras.txt is damaged \(camera model ODD is not known\); write the model again"),
        (edit_text("cameras.txt", lambda t: t.replace(" 64 64 ", " 0 64 ")),
         r"cameras.txt is damaged \(a camera has 0 x 64 pixels\)"),
        (edit_text("cameras.txt", lambda t: t.replace(" 64 64 ", " 64 64 nan ")),
         r"cameras.txt is damaged \(PINHOLE has 5 parameters, not 4\)"),
        (edit_text("cameras.txt", lambda t: t.replace(" 64 64 ", " 64 32 ")),
         r"its camera's pixels are 64 x 32, but the image has 64 x 64 pixels, another shape"),
        (edit_text("images.txt", lambda t: ""), r"images.txt lists no images; reconstruct again"),
        (edit_text("images.txt", lambda t: t.replace(" 7 ", " ")), r"images.txt is damaged"),
        (edit_text("images.txt", lambda t: "\n".join(
            " ".join([w[0], "0", "0", "0", "0", *w[5:]]) if len(w := line.split()) > 9 else line
            for line in t.splitlines())),
         r"image '0.png' has a quaternion of length 0 and translation .* a pose has length 1"),
        (edit_text("points3D.txt", lambda t: t.replace(" ", " x", 1)),
         r"points3D.txt is damaged \(could not convert string to float"),
    ],
)  # fmt: skip
def test_damaged_models_are_named(project, damage, message):
    damage(project)
    with pytest.raises(InputError, match=message):
        load_capture(project)


def test_missing_images_are_left_out(project):
    remove_image(project)
    (project / "images" / "0.png").unlink()  # the first of the model, too
    capture = load_capture(project)
    assert len(capture) == 10
    assert capture.notes[0] == ("2 of 12 listed images are missing and were left out: 0.png, 3.png")


def test_cut_outs_of_another_suffix_take_the_photographs_place(project):
    file = project / "sparse" / "0" / "images.txt"
    file.write_text(file.read_text().replace(".png", ".jpg"))
    capture = load_capture(project)
    assert len(capture) == 12 and capture.names[0] == "0.jpg"
    assert capture.images[0].shape[2] == 4


def test_names_that_are_not_utf8(project):
    name = os.fsdecode("é.png".encode("latin-1"))
    try:
        (project / "images" / "3.png").rename(project / "images" / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    file = project / "sparse" / "0" / "images.txt"
    file.write_bytes(file.read_bytes().replace(b" 3.png", b" \xe9.png"))
    assert name in load_capture(project).names


def test_without_masks_and_points_there_is_no_object(tmp_path, photos, cameras):
    noise = np.random.default_rng(0).integers(0, 255, on_white(photos).shape, np.uint8)
    folder = write_colmap_text(tmp_path, noise, cameras)
    (folder / "sparse" / "0" / "points3D.txt").unlink()
    with pytest.raises(InputError, match=r"has 0 points where its cameras look, too few to find"):
        load_capture(folder)
    (folder / "sparse" / "0" / "points3D.txt").write_text("1 5 -2 11 0 0 0 0\n" * 20)
    with pytest.raises(InputError, match="has all its points in one place; give images with alpha"):
        load_capture(folder)


def test_masks_that_agree_on_nothing_leave_it_to_the_points(tmp_path, photos, cameras):
    images = photos.copy()
    images[::2, :, :, 3] = 0
    images[::2, :12, :12, 3] = 255
    capture = load_capture(write_colmap_text(tmp_path, images, cameras))
    assert "the masks agree on no object; the points were used instead" in capture.notes


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin"])
def test_counts_of_binary_files_are_not_believed(project, tmp_path, name):
    """COLMAP's own reader loops over the stated number of entries whatever the file holds."""
    pycolmap = pytest.importorskip("pycolmap")
    text = project / "sparse" / "0"
    pycolmap.Reconstruction(str(text)).write_binary(str(text))
    file = text / name
    file.write_bytes(struct.pack("<Q", 1 << 60) + file.read_bytes()[8:])
    with pytest.raises(
        InputError,
        match=rf"{name} is damaged \(1152921504606846976 entries are stated, but the file ends",
    ):
        load_capture(project)


@pytest.mark.long
def test_why_models_are_read_here(project):
    """pycolmap hangs on such a file; should it learn to refuse it, our reader can go."""
    pycolmap = pytest.importorskip("pycolmap")
    text = project / "sparse" / "0"
    pycolmap.Reconstruction(str(text)).write_binary(str(text))
    file = text / "points3D.bin"
    file.write_bytes(struct.pack("<Q", 1 << 40) + file.read_bytes()[8:])
    code = "import pycolmap, sys; pycolmap.Reconstruction(sys.argv[1])"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", code, str(text)], timeout=5, capture_output=True)
