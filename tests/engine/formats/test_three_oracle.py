"""three.js reads what is written here: count, bounds, values, axes and colour space.

Its own loaders, of npm (``make oracle``), in one process of node for all files; the tests skip
without them.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from samples.gaussians import COUNT, random_gaussians

from geolrm import Gaussians

FOLDER = Path(__file__).parents[2] / "oracle"
SH_C0 = 0.28209479177387814
FILES = {
    "splats.ply": (16, {"up": "y"}),
    "padded.ply": (None, {"up": "y", "sh_degree": 3}),
    "three.spz": (16, {}),
    "four.spz": (16, {"spz_version": 4}),
    "splats.splat": (None, {"up": "y"}),
    "splats.glb": (16, {}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What three.js reads of each file, and what this project does, in the frame where y is up."""
    missing = None
    if shutil.which("node") is None:
        missing = "needs node"
    elif not (FOLDER / "node_modules" / "three").exists():
        missing = "needs three: make oracle"
    if missing and os.environ.get("GEOLRM_REQUIRE_ORACLE") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("three")
    for name, (sh, options) in FILES.items():
        random_gaussians(sh).save(folder / name, **options)
    paths = [str(folder / name) for name in FILES]
    done = subprocess.run(
        ["node", str(FOLDER / "three.mjs"), *paths], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = dict(zip(FILES, json.loads(done.stdout), strict=True))
    return {
        name: (arrays, Gaussians.load(folder / name, up=None if name.endswith("glb") else "z"))
        for name, arrays in found.items()
    }


def arrays_of(found):
    return {name: np.array(values) for name, values in found["attributes"].items()}


def y_up(gaussians):
    """A GLB is read into the object frame: turn it back to the file's."""
    matrix = np.eye(4)
    matrix[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    return gaussians.transformed(matrix)


@pytest.mark.parametrize("name", FILES)
def test_count_bounds_axes_shapes_and_colours_agree(files, name):
    found, read = files[name]
    found = arrays_of(found["splats"])
    read = y_up(read) if name.endswith("glb") else read
    assert len(found["position"]) == len(read) == COUNT
    np.testing.assert_allclose(found["position"], read.means, atol=1e-6)
    x, y, z = random_gaussians().means.T  # the axes: z of the object frame is y here
    expected = np.stack([x, z, -y], axis=1)
    np.testing.assert_allclose(found["position"], expected, atol=1.3e-4)
    for end in ("min", "max"):
        bounds = [getattr(values, end)(axis=0) for values in (found["position"], expected)]
        np.testing.assert_allclose(*bounds, atol=1.3e-4)
    np.testing.assert_allclose(found["covariance"], covariances(read), rtol=2e-3, atol=2e-8)
    np.testing.assert_allclose(found["color"][:, 3], read.opacities, atol=0.51 / 255)
    colors = read.colors if read.sh is None else read.sh[:, 0] * SH_C0 + 0.5
    np.testing.assert_allclose(found["color"][:, :3], colors.clip(0, 1), atol=0.51 / 255)


def covariances(gaussians):
    """xx, xy, xz, yy, yz, zz of each splat."""
    w, x, y, z = (gaussians.quats.T / np.linalg.norm(gaussians.quats, axis=1)).astype(np.float64)
    turn = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]).transpose(2, 0, 1)  # fmt: skip
    half = turn * gaussians.scales[:, None]
    full = half @ half.transpose(0, 2, 1)
    return np.stack([full[:, a, b] for a in range(3) for b in range(a, 3)], axis=1)


@pytest.mark.parametrize("name", ["splats.ply", "three.spz", "four.spz", "splats.glb"])
def test_harmonics_agree(files, name):
    found, read = files[name]
    found = arrays_of(found["splats"])
    read = y_up(read) if name.endswith("glb") else read
    for degree in (1, 2, 3):
        first, number = degree**2, 2 * degree + 1
        words = found[f"sphericalHarmonics{degree}"].astype("<u4")
        steps = np.ascontiguousarray(words).view(np.uint8)[:, : 3 * number]
        expected = read.sh[:, first : first + number].reshape(COUNT, -1).clip(-1, 127 / 128)
        np.testing.assert_allclose((steps - 128.0) / 128, expected, atol=1.01 / 128)


def test_harmonics_of_padding_show_nothing(files):
    found, _ = files["padded.ply"]
    found = arrays_of(found["splats"])
    steps = np.ascontiguousarray(found["sphericalHarmonics3"].astype("<u4")).view(np.uint8)
    assert (steps[:, :21] == 128).all()


def test_a_program_without_the_extension_shows_coloured_points(files):
    found, read = files["splats.glb"]
    assert found["points"]["type"] == "Points"
    points = arrays_of(found["points"])
    light = points["color"]  # three.js takes COLOR_0 for linear light, as glTF says
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    colors = (read.sh[:, 0] * SH_C0 + 0.5).clip(0, 1)
    np.testing.assert_allclose(shown[:, :3], colors, atol=1e-3)
    np.testing.assert_allclose(light[:, 3], read.opacities, atol=1e-5)
