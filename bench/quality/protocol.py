"""The fixed protocol: which frames of a capture are shown to the model, and which are held out."""

from geolrm.engine.errors import InputError

ORBIT_FRAMES = 24  # frames 0 to 23 stand on a ring above the object
TARGET_GROUPS = {
    "orbit_up": (5, 11, 17, 23),
    "orbit_level": tuple(range(24, 36)),
    "top": (36,),
    "bottom": (37,),
}
TARGETS = tuple(frame for frames in TARGET_GROUPS.values() for frame in frames)
FRAMES = max(TARGETS) + 1
DEFAULT_VIEWS = (4, 6, 8, 12, 16, 20)
MOST_VIEWS = ORBIT_FRAMES - len(TARGET_GROUPS["orbit_up"])


def expected_group(frame: int) -> str:
    """Return the group that a frame of a capture must belong to."""
    if frame < ORBIT_FRAMES:
        return "orbit_up"
    return next(group for group, frames in TARGET_GROUPS.items() if frame in frames)


def input_frames(count: int) -> list[int]:
    """Choose the frames that the model sees when it is given ``count`` views.

    Frame ``floor(24 i / count)`` for i = 0 .. count - 1. Targets are never inputs: a frame that is
    a target, or already taken, gives way to the next frame of the ring that is neither.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_VIEWS:
        raise InputError(
            f"{count!r} views were asked for; the protocol has {MOST_VIEWS} input frames "
            f"({ORBIT_FRAMES} on the ring less {ORBIT_FRAMES - MOST_VIEWS} targets), so give 1 to "
            f"{MOST_VIEWS}"
        )
    chosen: list[int] = []
    for index in range(count):
        frame = ORBIT_FRAMES * index // count
        while frame in TARGETS or frame in chosen:
            frame = (frame + 1) % ORBIT_FRAMES
        chosen.append(frame)
    return chosen
