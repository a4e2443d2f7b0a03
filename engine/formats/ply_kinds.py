"""What kind of thing the vertices of a PLY are: splats, or something that people take for them."""

from __future__ import annotations

from geolrm.engine.errors import InputError
from geolrm.engine.formats.ply_header import Header

POSITION = ("x", "y", "z")
RGB = ("red", "green", "blue")
DC = ("f_dc_0", "f_dc_1", "f_dc_2")
SHAPE = ("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")


def check(header: Header, name: str) -> None:
    """Refuse vertices that are no splats, and say what they are and where splats are found.

    Raises:
        InputError: It is a mesh, a point cloud, 2D Gaussians, or lacks a property.
    """
    vertices = header.find("vertex")
    assert vertices is not None
    names = set(vertices.names())
    kinds = {found.name: found.kind[1:] for found in vertices.properties}
    has_bytes = all(kinds.get(key) == "u1" for key in RGB)
    lacking = [key for key in (*POSITION, *SHAPE) if key not in names]
    if not has_bytes or DC[0] in names:
        lacking += [key for key in DC if key not in names]
    if not lacking:
        return
    if not names & {*DC, *SHAPE}:
        if header.find("face") is not None:
            raise InputError(
                f"{name} is a mesh: its vertices have no f_dc, opacity, scale and rot; name a file "
                "of splats"
            )
        raise InputError(
            f"{name} is a point cloud: it has no f_dc, opacity, scale and rot; name the splats "
            "that were trained from it, such as point_cloud/iteration_30000/point_cloud.ply"
        )
    if lacking == ["scale_2"]:
        raise InputError(
            f"{name} holds 2D Gaussians (2DGS): it has no scale_2; train 3D Gaussians, or add a "
            "property scale_2 of -14 to each, which makes thin 3D ones"
        )
    raise InputError(f"{name} has no property {lacking[0]!r}; it is no Gaussian splatting PLY")
