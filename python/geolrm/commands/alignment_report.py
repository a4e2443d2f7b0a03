"""What ``geolrm run`` says of the photographs: poses refined, colours corrected."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from geolrm.engine.captures import Capture
    from geolrm.engine.scene import Scene


def alignment_summary(scene: Scene, names: list[str]) -> dict[str, Any] | None:
    """Collect all that is known of the views, by view, for ``--json``; None: nothing is."""
    found = scene.alignment
    if found is None:
        return None
    return {
        "poses_refined": found.moved,
        "splats_explain_poses": found.explained,
        "likeness_db": None if found.likeness is None else round(found.likeness, 2),
        "shaded": found.shaded,
        "views": [
            {
                "name": name,
                "residual_before_px": round(float(found.residual_before[view]), 3),
                "residual_after_px": round(float(found.residual_after[view]), 3),
                "weight": round(float(found.weights[view]), 3),
                "in_line": view not in found.out_of_line,
                "camera_to_world": found.c2w[view].tolist(),
                "color_matrix": found.colors[view].tolist(),
                "color_corrected": view in found.corrected,
            }
            for view, name in enumerate(names)
        ],
    }


def alignment_lines(scene: Scene, names: list[str]) -> list[str]:
    """Say what was done, a line each: poses, views out of line, colours."""
    found = scene.alignment
    if found is None:
        return []
    lines = []
    before, after = (float(np.median(r)) for r in (found.residual_before, found.residual_after))
    if found.explained:
        lines.append(
            f"poses kept: the views lay {before:.1f} px off (of 256), but splats alone could be "
            "brought in line with them; --refine-poses on moves the cameras, too"
        )
    if found.moved:
        lines.append(
            f"poses refined: the views lay {before:.1f} px off (of 256), now {after:.1f} px; "
            "--refine-poses off leaves them as they are"
        )
        lines += [
            f"note: view {names[view]} could not be brought in line and counted "
            f"{found.weights[view]:.0%}; check its pose and mask, or leave it out"
            for view in found.out_of_line
        ]
    if found.shaded:
        how = "" if found.likeness is None else f" ({found.likeness:.1f} dB)"
        lines.append(
            f"plain colours do not explain the photographs{how}, as where a flash moves; colours "
            "depend on the direction now, --shading off leaves them plain"
        )
        return lines  # every photograph was brightened or darkened with it
    for view in found.corrected:
        red, green, blue = found.colors[view].sum(-1)
        lines.append(
            f"note: the colours of view {names[view]} were corrected to those of the others: "
            f"grey times {red:.2f}, {green:.2f}, {blue:.2f} (red, green, blue)"
        )
    return lines


def moved_capture(used: Capture, scene: Scene) -> Capture:
    """Return the views used, with the poses that the run ended with."""
    found = scene.alignment
    if found is None or not found.moved:
        return used
    return replace(used, cameras=replace(used.cameras, c2w=found.c2w))
