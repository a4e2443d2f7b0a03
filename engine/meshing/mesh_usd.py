"""USD: a mesh whose colours are light that it sends out, as text, as a package, or as a crate.

UsdPreviewSurface has no unlit kind. Colours hold the light of the photographs already, so they go
to ``emissiveColor``, and nothing is left for lamps to add: diffuse and specular colours are black.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.formats import float_text
from geolrm.engine.system.extras import require

ROOT = "Object"
MATERIAL = f"/{ROOT}/Material"
HEAD = f"""#usda 1.0
(
    defaultPrim = "{ROOT}"
    metersPerUnit = 1
    upAxis = "Y"
)

def Xform "{ROOT}" (
    kind = "component"
)
{{
    def Mesh "Surface" (
        prepend apiSchemas = ["MaterialBindingAPI"]
    )
    {{
        rel material:binding = <{MATERIAL}>
        uniform token subdivisionScheme = "none"
        uniform bool doubleSided = 1
"""
SHADER = f"""    }}

    def Material "Material"
    {{
        token outputs:surface.connect = <{MATERIAL}/Surface.outputs:surface>

        def Shader "Surface"
        {{
            uniform token info:id = "UsdPreviewSurface"
            color3f inputs:diffuseColor = (0, 0, 0)
            color3f inputs:emissiveColor.connect = <{MATERIAL}/Colors.outputs:SOURCE>
            float inputs:roughness = 1
            color3f inputs:specularColor = (0, 0, 0)
            int inputs:useSpecularWorkflow = 1
            token outputs:surface
        }}
"""
TEXTURE = f"""
        def Shader "Colors"
        {{
            uniform token info:id = "UsdUVTexture"
            asset inputs:file = IMAGE
            token inputs:sourceColorSpace = "sRGB"
            float2 inputs:st.connect = <{MATERIAL}/Coordinates.outputs:result>
            token inputs:wrapS = "clamp"
            token inputs:wrapT = "clamp"
            float3 outputs:rgb
        }}

        def Shader "Coordinates"
        {{
            uniform token info:id = "UsdPrimvarReader_float2"
            string inputs:varname = "st"
            float2 outputs:result
        }}
"""
READER = """
        def Shader "Colors"
        {
            uniform token info:id = "UsdPrimvarReader_float3"
            string inputs:varname = "displayColor"
            float3 outputs:result
        }
"""


def encode_text(
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    faces: NDArray[np.uint32],
    *,
    uv: NDArray[np.float32] | None = None,
    image: str = "",
    light: NDArray[np.float32] | None = None,
) -> bytes:
    """Write a whole .usda file of a mesh that is y up.

    Args:
        points: [P, 3].
        normals: [P, 3], unit length.
        faces: [F, 3] indices, counter-clockwise seen from outside.
        uv: [P, 2], v up; None for colours of vertices.
        image: The file of the texture, as the stage names it.
        light: [P, 3] linear colours of the vertices, where there is no texture.
    """
    return b"".join(_text(points, normals, faces, uv, image, light))


def _text(
    points: NDArray, normals: NDArray, faces: NDArray, uv: Any, image: str, light: Any
) -> Iterator[bytes]:
    yield HEAD.encode()
    low, high = (", ".join(map(str, f(axis=0).tolist())) for f in (points.min, points.max))
    yield f"        float3[] extent = [({low}), ({high})]\n".encode()
    yield b"        int[] faceVertexCounts = [" + b",".join([b"3"] * len(faces)) + b"]\n"
    yield b"        int[] faceVertexIndices = ["
    yield ",".join(map(str, faces.reshape(-1).tolist())).encode() + b"]\n"
    yield from _array("point3f[] points", points)
    yield from _array("normal3f[] normals", normals)
    if uv is not None:
        yield from _array("texCoord2f[] primvars:st", uv)
    if light is not None:
        yield from _array("color3f[] primvars:displayColor", light)
    yield SHADER.replace("SOURCE", "result" if uv is None else "rgb").encode()
    yield (READER if uv is None else TEXTURE.replace("IMAGE", f"@{image}@")).encode()
    yield b"    }\n}\n"


def _array(declared: str, values: NDArray[np.float32]) -> Iterator[bytes]:
    """Write an array with one value for each vertex."""
    yield f"        {declared} = [".encode()
    yield b"".join(float_text.rows(values.astype(np.float32)))[:-1]  # without the last comma
    yield b"]" if "points" in declared else b'] (\n            interpolation = "vertex"\n        )'
    yield b"\n"


def check_crate() -> None:
    """Refuse in one sentence when usd-core, which writes crates, is not installed."""
    require("usd-core", "a .usdc file", instead="write a .usda or .usdz file")


def crate_of(text: bytes) -> bytes:
    """Turn a .usda file into the bytes of a .usdc file by usd-core, which writes to paths alone."""
    import tempfile
    from pathlib import Path

    check_crate()
    Sdf: Any = importlib.import_module("pxr.Sdf")
    layer = Sdf.Layer.CreateAnonymous(".usda")
    layer.ImportFromString(text.decode())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mesh.usdc"
        layer.Export(str(path))
        return path.read_bytes()
