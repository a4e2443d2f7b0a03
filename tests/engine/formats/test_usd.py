"""USD files, as usd-core reads them and as they stand; parts without usd-core run everywhere."""

import re
import struct
import zipfile

import numpy as np
import pytest
from samples.gaussians import COUNT, random_gaussians

from geolrm import Gaussians, InputError
from geolrm.engine.formats.splat_files import encode

SH_C0 = 0.28209479177387814
SUFFIXES = (".usda", ".usdc", ".usdz")


def y_up(points):
    x, y, z = points.T
    return np.stack([x, z, -y], axis=1)


@pytest.fixture(scope="module")
def pxr():
    return pytest.importorskip("pxr", reason="needs usd-core")


@pytest.fixture
def opened(pxr, tmp_path):
    """Write Gaussians and open the stage with usd-core; the stage must outlive its prims."""
    from pxr import Usd, UsdVol

    def call(gaussians, suffix, **options):
        path = tmp_path / f"a{suffix}"
        gaussians.save(path, **options)
        stage = Usd.Stage.Open(str(path))
        prim = stage.GetDefaultPrim()
        assert prim.GetTypeName() == "ParticleField3DGaussianSplat"
        return stage, UsdVol.ParticleField3DGaussianSplat(prim)

    return call


@pytest.mark.parametrize("sh", [None, 4, 9, 16])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_usd_core_reads_every_value_as_it_is(opened, suffix, sh):
    scene = random_gaussians(sh)
    _stage, field = opened(scene, suffix, up="z")
    positions = np.array(field.GetPositionsAttr().Get())
    assert positions.dtype == np.float32 and len(positions) == COUNT
    np.testing.assert_array_equal(positions, scene.means)
    np.testing.assert_array_equal(np.array(field.GetScalesAttr().Get()), scene.scales)
    np.testing.assert_array_equal(np.array(field.GetOpacitiesAttr().Get()), scene.opacities)
    quats = [[q.GetReal(), *q.GetImaginary()] for q in field.GetOrientationsAttr().Get()]
    np.testing.assert_array_equal(np.array(quats, np.float32), scene.quats)
    degree = field.GetRadianceSphericalHarmonicsDegreeAttr().Get()
    assert degree == {None: 0, 4: 1, 9: 2, 16: 3}[sh]
    attribute = field.GetRadianceSphericalHarmonicsCoefficientsAttr()
    coefficients = np.array(attribute.Get()).reshape(COUNT, (degree + 1) ** 2, 3)
    colors = scene.colors if sh is None else scene.sh[:, 0] * SH_C0 + 0.5
    np.testing.assert_allclose(coefficients[:, 0] * SH_C0 + 0.5, colors, atol=1e-6)
    if sh is not None:
        np.testing.assert_array_equal(coefficients, scene.sh)
    assert attribute.GetMetadata("elementSize") == (degree + 1) ** 2
    assert attribute.GetMetadata("interpolation") == "vertex"
    assert field.GetProjectionModeHintAttr().Get() == "perspective"
    assert field.GetSortingModeHintAttr().Get() == "zDepth"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("up", [None, "y", "z"])
def test_the_stage_says_its_axis_unit_and_bounds(opened, suffix, up):
    from pxr import UsdGeom

    scene = random_gaussians()
    stage, field = opened(scene, suffix, up=up)
    assert UsdGeom.GetStageUpAxis(stage) == (up or "y").upper()
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    expected = scene.means if up == "z" else y_up(scene.means)
    np.testing.assert_array_equal(np.array(field.GetPositionsAttr().Get()), expected)
    low, high = np.array(field.GetExtentAttr().Get())
    reach = 3 * scene.scales.max(axis=1, keepdims=True)
    np.testing.assert_allclose(low, (expected - reach).min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(high, (expected + reach).max(axis=0), rtol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_validators_of_usd_core_find_nothing(opened, suffix):
    validation = pytest.importorskip("pxr.UsdValidation")
    stage, _ = opened(random_gaussians(4), suffix)
    validators = validation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 20
    context = validation.ValidationContext(validators)
    assert [error.GetMessage() for error in context.Validate(stage)] == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_splats_are_a_stage_too(opened, suffix):
    _stage, field = opened(random_gaussians().select(np.zeros(COUNT, bool)), suffix)
    assert len(field.GetPositionsAttr().Get()) == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_splats_give_the_same_bytes(suffix):
    if suffix == ".usdc":
        pytest.importorskip("pxr", reason="needs usd-core")
    assert encode(random_gaussians(4), suffix) == encode(random_gaussians(4), suffix)


def test_the_text_states_each_attribute_with_its_type():
    scene = random_gaussians()
    text = encode(scene, ".usda", up="z").decode()
    assert text.startswith('#usda 1.0\n(\n    defaultPrim = "Splats"\n    metersPerUnit = 1\n')
    assert '    upAxis = "Z"\n' in text
    assert '\ndef ParticleField3DGaussianSplat "Splats"\n{\n' in text
    for kind, name, array in [
        ("point3f[]", "positions", scene.means),
        ("quatf[]", "orientations", scene.quats),
        ("float3[]", "scales", scene.scales),
        ("float[]", "opacities", scene.opacities[:, None]),
    ]:
        (found,) = re.findall(rf"^    {re.escape(kind)} {name} = \[(.*)\]$", text, re.MULTILINE)
        numbers = np.array(found.translate(str.maketrans("()", "  ")).split(","), np.float32)
        np.testing.assert_array_equal(numbers.reshape(array.shape), array)


def test_the_package_holds_the_text_where_it_can_be_mapped(tmp_path):
    random_gaussians().save(tmp_path / "a.usdz")
    content = (tmp_path / "a.usdz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.usdz") as package:
        (info,) = package.infolist()
        assert info.filename == "splats.usda" and info.compress_type == zipfile.ZIP_STORED
        name_size, extra_size = struct.unpack_from("<HH", content, info.header_offset + 26)
        assert (info.header_offset + 30 + name_size + extra_size) % 64 == 0
        assert package.read(info) == encode(random_gaussians(), ".usda")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_usd_is_not_read(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"#usda 1.0\n")
    message = f"is a {suffix} file, and those are written but not read: name one of .ply, .spz, "
    with pytest.raises(InputError, match=message):
        Gaussians.load(tmp_path / f"a{suffix}")
