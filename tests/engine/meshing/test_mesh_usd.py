"""The text of a stage, as far as no reader shows it; what readers find is in test_mesh_files."""

import numpy as np
import pytest

from geolrm.engine.meshing.mesh_usd import crate_of, encode_text

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, -1.5]], np.float32)
NORMALS = np.tile(np.float32([0, 0, 1]), (3, 1))
FACES = np.array([[0, 1, 2]], np.uint32)


def test_a_stage_is_text_with_every_number():
    text = encode_text(POINTS, NORMALS, FACES, uv=POINTS[:, :2] / 2, image="./a.png").decode()
    assert text.startswith("#usda 1.0\n") and 'upAxis = "Y"' in text
    assert "float3[] extent = [(0.0, 0.0, -1.5), (1.0, 2.0, 0.0)]" in text
    assert "int[] faceVertexCounts = [3]\n        int[] faceVertexIndices = [0,1,2]\n" in text
    assert "asset inputs:file = @./a.png@" in text and "displayColor" not in text
    assert text.count("{") == text.count("}") and text.count("[") == text.count("]")


def test_a_crate_holds_the_same_stage():
    Sdf = pytest.importorskip("pxr.Sdf")
    text = encode_text(POINTS, NORMALS, FACES, light=np.eye(3, dtype=np.float32))
    content = crate_of(text)
    assert content.startswith(b"PXR-USDC")
    layer = Sdf.Layer.CreateAnonymous(".usda")
    layer.ImportFromString(text.decode())
    values = layer.GetAttributeAtPath("/Object/Surface.primvars:displayColor").default
    np.testing.assert_array_equal(np.array(values), np.eye(3))
