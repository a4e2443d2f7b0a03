"""What became of each photograph, and what to photograph again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.photographs.intake import Photograph
from geolrm.engine.photographs.ladder import Climb

FEW_FEATURES = 100
WIDE_GAP = 60.0  # degrees around the object without a photograph
STEEP, FLAT = 25.0, 10.0  # degrees of elevation


def reasons(
    photographs: Sequence[Photograph], climb: Climb, early: Mapping[str, str]
) -> dict[str, str]:
    """Say for each photograph without a pose why it has none, by file.

    Args:
        photographs: All that were taken in.
        climb: What the ladder found.
        early: Those that were of no use before.
    """
    posed = set(climb.model.names) if climb.model else set()
    elsewhere = {name: model for model in climb.others for name in model.names}
    found = {}
    for each in photographs:
        if each.file in posed:
            continue
        if each.file in early:
            found[each.file] = early[each.file]
        elif each.file in elsewhere:
            count = len(elsewhere[each.file])
            found[each.file] = f"other model: it fits {count - 1} others, which fit no more"
        elif climb.features.get(each.file, 0) < FEW_FEATURES:
            found[each.file] = "no matches: it shows too little texture"
        elif not climb.verified.get(each.file):
            found[each.file] = "no matches: it overlaps no other photograph enough"
        else:
            found[each.file] = "too few matches with what the others show"
    return found


def again(centres: NDArray[np.float64], names: Sequence[str], out: Mapping[str, str]) -> list[str]:
    """Say what to photograph again, a sentence each.

    Args:
        centres: [V, 3] of the posed cameras in the object frame, z up.
        names: V, of the photographs.
        out: Reasons by the name of each photograph without a pose.
    """
    said = []
    blurred = [name for name, reason in out.items() if reason == "blurred"]
    if blurred:
        said.append(f"hold still, or use more light: {_listed(blurred)} blurred")
    alone = [name for name, reason in out.items() if reason.startswith(("no", "too", "other"))]
    if alone:
        said.append(
            f"take two or three photographs on the way to each of {_listed(alone)}, so that "
            "neighbours overlap by two thirds"
        )
    azimuth = np.degrees(np.arctan2(centres[:, 1], centres[:, 0]))
    elevation = np.degrees(np.arctan2(centres[:, 2], np.hypot(centres[:, 0], centres[:, 1])))
    order = np.argsort(azimuth, kind="stable")
    gaps = np.diff(np.append(azimuth[order], azimuth[order[0]] + 360))
    widest = int(gaps.argmax())
    if gaps[widest] > WIDE_GAP:
        first, second = order[widest], order[(widest + 1) % len(order)]
        said.append(
            f"the side between {names[first]} and {names[second]} has no photograph for "
            f"{gaps[widest]:.0f} degrees around the object; take one every 15 degrees there"
        )
    if elevation.max() < STEEP:
        said.append("no photograph looks from above; take a ring from 30 to 60 degrees up")
    if elevation.min() > -FLAT and elevation.min() > FLAT:
        said.append("no photograph looks level; take a ring at the object's own height")
    return said


def summary(
    climb: Climb, photographs: Sequence[Photograph], out: Mapping[str, str]
) -> dict[str, Any]:
    """Return the numbers of a report: posed of how many, why not, and which rungs were tried."""
    names = {each.file: each.name for each in photographs}
    model = climb.model
    return {
        "photographs": len(photographs),
        "posed": 0 if model is None else len(model),
        "left_out": [{"name": names[file], "reason": why} for file, why in out.items()],
        "points": 0 if model is None else len(model.xyz),
        "reprojection_error_px": None if model is None else round(model.error, 3),
        "rungs": climb.rungs,
    }


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
