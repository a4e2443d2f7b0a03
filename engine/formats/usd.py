"""USD: one prim of the schema ParticleField3DGaussianSplat, of OpenUSD 26.03 and later.

Written as text (.usda), as a package of that text (.usdz) and, by usd-core, as a binary crate
(.usdc); none is read. All values are float32 as they are: scales are standard deviations, opacities
lie in [0, 1], rotations are wxyz, harmonics lie coefficient by coefficient for each splat. The
stage says which axis is up, and that a unit is a metre.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.formats import archive, float_text
from geolrm.engine.formats.orientation import Up
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.geometry import harmonics
from geolrm.engine.system.extras import require

SCHEMA = "ParticleField3DGaussianSplat"
PRIM = "Splats"
ALIGNMENT = 64  # of a package's members
REACH = 3.0  # standard deviations of a splat within the stated extent

# (type, name) of what a prim holds for each splat
HARMONICS = "radiance:sphericalHarmonicsCoefficients"
ATTRIBUTES = (
    ("point3f[]", "positions"),
    ("quatf[]", "orientations"),
    ("float3[]", "scales"),
    ("float[]", "opacities"),
    ("float3[]", HARMONICS),
)


def _values(gaussians: GaussianArrays) -> tuple[int, list[NDArray[np.float32]]]:
    """Return the degree of the harmonics, and what goes under each of ``ATTRIBUTES``."""
    sh = gaussians.sh
    if sh is None:
        sh = harmonics.dc_of_colors(gaussians.colors)[:, None]  # pyright: ignore[reportArgumentType]
    degree = int(np.sqrt(sh.shape[1])) - 1
    arrays = [gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities]
    return degree, [*arrays, sh.reshape(-1, 3)]


def _extent(gaussians: GaussianArrays) -> NDArray[np.float32]:
    """Bound the splats by boxes that hold them however they are turned, [2, 3]."""
    if not len(gaussians):
        return np.zeros((2, 3), np.float32)
    reach = REACH * gaussians.scales.max(axis=1, keepdims=True)
    return np.stack([(gaussians.means - reach).min(axis=0), (gaussians.means + reach).max(axis=0)])


def encode_text(gaussians: GaussianArrays, *, up: Up) -> bytes:
    """Write a whole .usda file of splats in the frame where ``up`` is up."""
    return b"".join(_text(gaussians, up))


def _text(gaussians: GaussianArrays, up: Up) -> Iterator[bytes]:
    degree, arrays = _values(gaussians)
    low, high = (", ".join(map(str, corner)) for corner in _extent(gaussians).tolist())
    yield (
        "#usda 1.0\n"
        "(\n"
        f'    defaultPrim = "{PRIM}"\n'
        "    metersPerUnit = 1\n"
        f'    upAxis = "{up.upper()}"\n'
        ")\n\n"
        f'def {SCHEMA} "{PRIM}"\n'
        "{\n"
        f"    float3[] extent = [({low}), ({high})]\n"
        f"    uniform int radiance:sphericalHarmonicsDegree = {degree}\n"
        '    uniform token projectionModeHint = "perspective"\n'
        '    uniform token sortingModeHint = "zDepth"\n'
    ).encode()
    for (kind, name), array in zip(ATTRIBUTES, arrays, strict=True):
        yield f"    {kind} {name} = [".encode()
        before = b""
        for text in float_text.rows(array):
            yield before
            before = text
        yield before[:-1] + b"]"  # without the last comma
        if name == HARMONICS:
            yield b" (\n        elementSize = %d\n" % (degree + 1) ** 2
            yield b'        interpolation = "vertex"\n    )'
        yield b"\n"
    yield b"}\n"


def encode_package(gaussians: GaussianArrays, *, up: Up) -> bytes:
    """Write a whole .usdz file: an archive whose first member is the text."""
    return archive.write({"splats.usda": encode_text(gaussians, up=up)}, align=ALIGNMENT)


def encode_crate(gaussians: GaussianArrays, *, up: Up) -> bytes:
    """Write a whole .usdc file by usd-core.

    Raises:
        GeoLRMError: usd-core is not installed.
    """
    check_crate()
    return _crate(gaussians, up)


def check_crate() -> None:
    """Refuse in one sentence when usd-core, which writes crates, is not installed."""
    require("usd-core", "a .usdc file", instead="write a .usda or .usdz file")


def _crate(gaussians: GaussianArrays, up: Up) -> bytes:
    """Write a stage and read its file back: usd-core writes to paths alone."""
    import tempfile
    from pathlib import Path

    # By name: its modules are made by native code, and no type checker sees what they hold.
    Sdf, Usd, UsdGeom, Vt = (
        importlib.import_module(f"pxr.{name}") for name in ("Sdf", "Usd", "UsdGeom", "Vt")
    )
    degree, arrays = _values(gaussians)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "splats.usdc"
        stage = Usd.Stage.CreateNew(str(path))
        UsdGeom.SetStageUpAxis(stage, up.upper())
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        prim = stage.DefinePrim(f"/{PRIM}", SCHEMA)
        stage.SetDefaultPrim(prim)

        def author(kind, name, value, uniform=False):
            made = prim.CreateAttribute(name, Sdf.ValueTypeNames.Find(kind), False)
            if uniform:
                made.SetVariability(Sdf.VariabilityUniform)
            made.Set(value)
            return made

        author("float3[]", "extent", Vt.Vec3fArray.FromNumpy(_extent(gaussians)))
        author("int", "radiance:sphericalHarmonicsDegree", degree, uniform=True)
        author("token", "projectionModeHint", "perspective", uniform=True)
        author("token", "sortingModeHint", "zDepth", uniform=True)
        made = {"point3f[]": Vt.Vec3fArray, "float3[]": Vt.Vec3fArray, "float[]": Vt.FloatArray,
                "quatf[]": Vt.QuatfArray}  # fmt: skip
        for (kind, name), array in zip(ATTRIBUTES, arrays, strict=True):
            if kind == "quatf[]":
                array = array[:, [1, 2, 3, 0]]  # in memory, the real part is last
            attribute = author(kind, name, made[kind].FromNumpy(np.ascontiguousarray(array)))
            if name == HARMONICS:
                variable = UsdGeom.Primvar(attribute)
                variable.SetElementSize((degree + 1) ** 2)
                variable.SetInterpolation(UsdGeom.Tokens.vertex)
        stage.Save()
        del stage
        return path.read_bytes()
