import io

import numpy as np
import pytest
from PIL import Image

from geolrm.fleet.results import make_thumbnail, peak_memory_mb, psnr


def test_psnr_is_the_mean_over_the_views():
    generator = np.random.default_rng(0)
    rendered = generator.random((3, 5, 5, 3), np.float32)
    images = generator.integers(0, 256, (3, 5, 5, 3), np.uint8)
    slow = []
    for view in range(3):
        squares = [
            (float(a) - float(b) / 255) ** 2
            for a, b in zip(rendered[view].ravel(), images[view].ravel(), strict=True)
        ]
        slow.append(-10 * np.log10(sum(squares) / len(squares)))
    assert psnr(rendered, images) == pytest.approx(sum(slow) / 3, abs=1e-3)
    assert psnr(images / 255, images) is None


def test_a_thumbnail_is_small_and_of_the_image():
    image = np.zeros((256, 256, 3), np.float32)
    image[:, 128:] = 1
    content = make_thumbnail(image)
    seen = np.asarray(Image.open(io.BytesIO(content)))
    assert seen.shape == (192, 192, 3) and len(content) < 2000
    assert seen[:, :90].max() < 20 and seen[:, 102:].min() > 235


def test_memory_is_in_megabytes():
    before = peak_memory_mb()
    if before is None:
        pytest.skip("no one tells")
    block = np.ones(60_000_000, np.uint8)
    assert 30 < before < 100_000 and block[-1] == 1
    assert peak_memory_mb() >= before
