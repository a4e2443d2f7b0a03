"""Backgrounds removed by rembg: its own session, and what may be missing."""

import importlib.metadata
import importlib.util
from dataclasses import replace

import numpy as np
import onnx
import pytest
from PIL import Image
from samples.capture_files import write_transforms

from geolrm import GeoLRMError, load_capture
from geolrm.engine.captures.background import MODEL, cut_out

# Not imported for that: pymatting would compile for over a minute.
needs_rembg = pytest.mark.skipif(
    importlib.util.find_spec("rembg") is None, reason="needs the extra [rembg]"
)


@pytest.fixture
def gray_capture(tmp_path, photos, cameras):
    """The box on grey, without alpha."""
    alpha = photos[..., 3:] / 255
    images = np.rint(photos[..., :3] * alpha + 128 * (1 - alpha)).astype(np.uint8)
    return write_transforms(tmp_path / "box", images, cameras)


class Halves:
    """Finds two objects: the upper rows, and the lower ones faintly."""

    def predict(self, img):
        rows = np.arange(img.height)[:, None] < img.height // 2
        upper = np.broadcast_to(rows, (img.height, img.width))
        return [Image.fromarray(np.uint8(255 * upper)), Image.fromarray(np.uint8(40 * ~upper))]


def test_masks_become_alpha_and_images_with_alpha_stay(gray_capture, photos):
    capture = load_capture(gray_capture)
    mixed = replace(capture, images=[photos[0], *capture.images[1:]])
    done = cut_out(mixed, Halves())
    np.testing.assert_array_equal(done.images[0], photos[0])
    assert done.images[5].shape == (64, 64, 4)
    np.testing.assert_array_equal(done.images[5][..., :3], capture.images[5])
    assert (done.images[5][:32, :, 3] == 255).all() and (done.images[5][32:, :, 3] == 40).all()
    assert done.notes[-1] == "rembg removed the background of 11 images"
    assert "with alpha" in done.found and mixed.images[5].shape[2] == 3


def test_nothing_is_loaded_where_every_image_has_alpha(tmp_path, photos, cameras):
    folder = write_transforms(tmp_path, photos, cameras)
    capture = load_capture(folder, remove_background=True)
    assert capture.notes == ("every image has an alpha, so that no background was removed",)


def write_network(path):
    """Of what rembg feeds (values - 0.5 of colours over the largest): the widest channel span."""
    node = onnx.helper.make_node
    shape = [1, 3, 1024, 1024]
    graph = onnx.helper.make_graph(
        [
            node("ReduceMax", ["x"], ["high"], axes=[1], keepdims=1),
            node("ReduceMin", ["x"], ["low"], axes=[1], keepdims=1),
            node("Sub", ["high", "low"], ["mask"]),
        ],
        "saturation",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, [1, 1, 1024, 1024])],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8
    )
    path.parent.mkdir(parents=True)
    onnx.save(model, path)


@needs_rembg
def test_rembgs_own_session_runs_a_network(gray_capture, photos, tmp_path, monkeypatch):
    write_network(tmp_path / "models" / MODEL / f"{MODEL}.onnx")
    monkeypatch.setenv("REMBG_HOME", str(tmp_path))
    monkeypatch.delenv("U2NET_HOME", raising=False)
    capture = load_capture(gray_capture, remove_background=True)
    from pymatting.util.kdtree import _make_tree

    assert not hasattr(_make_tree, "py_func")  # it was not compiled on import
    for image, photo in zip(capture.images, photos, strict=True):
        found, true = image[..., 3] > 100, photo[..., 3] > 128
        assert (found & true).sum() / (found | true).sum() > 0.85  # the coloured box on grey


def test_a_missing_package_is_named(gray_capture, monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(
        GeoLRMError,
        match=r"needs rembg, which is not installed; run: pip install 'geolrm\[rembg\]'",
    ):
        load_capture(gray_capture, remove_background=True)


@needs_rembg
def test_missing_weights_are_named(gray_capture, tmp_path, monkeypatch):
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("U2NET_HOME", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):  # nothing listens there: no network
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(
        GeoLRMError,
        match=r"rembg could not load its model isnet-general-use, which it downloads .*; connect",
    ) as caught:
        load_capture(gray_capture, remove_background=True)
    assert len(str(caught.value)) < 500
