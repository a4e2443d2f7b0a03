"""The 3D Gaussian splatting PLY: logit opacity, log scales, spherical harmonics."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.atomic import atomic_file
from geolrm.engine.errors import InputError
from geolrm.engine.gaussians import Gaussians

SH_C0 = 0.28209479177387814  # spherical harmonic of degree 0
MAX_HEADER_BYTES = 1 << 16
SMALLEST_SCALE = 1e-10  # a zero scale has no logarithm


def read_ply(path: str | Path) -> Gaussians:
    """Read the layout of the original 3DGS code, binary little-endian floats.

    Raises:
        InputError: The file is no such PLY, or holds fewer rows than it says.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            names, count, start = _read_header(file.read(MAX_HEADER_BYTES), path)
            expected = start + count * len(names) * 4
            if size != expected:
                raise InputError(
                    f"{str(path)!r} has {size} bytes; {count} splats of {len(names)} properties "
                    f"need {expected}: the file is truncated or damaged"
                )
            file.seek(start)
            table = np.frombuffer(file.read(expected - start), "<f4").reshape(count, len(names))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from error
    if not np.isfinite(table).all():
        raise InputError(f"{str(path)!r} holds NaN or infinity; it is damaged")
    column = {name: table[:, index] for index, name in enumerate(names)}

    def columns(*wanted: str) -> NDArray[np.float32]:
        missing = [name for name in wanted if name not in column]
        if missing:
            raise InputError(
                f"{str(path)!r} has no property {missing[0]!r}; it is no Gaussian splatting PLY"
            )
        return np.stack([column[name] for name in wanted], axis=-1)

    dc = columns("f_dc_0", "f_dc_1", "f_dc_2")
    rest = sum(name.startswith("f_rest_") for name in names)
    colors, sh = dc * np.float32(SH_C0) + np.float32(0.5), None
    if rest:
        if rest not in (9, 24, 45):
            raise InputError(f"{str(path)!r} has {rest} f_rest properties; it must be 9, 24 or 45")
        higher = columns(*(f"f_rest_{i}" for i in range(rest))).reshape(count, 3, rest // 3)
        colors, sh = None, np.concatenate([dc[:, None], higher.transpose(0, 2, 1)], axis=1)
    quats = columns(*(f"rot_{i}" for i in range(4)))
    norms = np.linalg.norm(quats, axis=1, keepdims=True)
    logits = columns("opacity")[:, 0].astype(np.float64)
    scales = columns(*(f"scale_{i}" for i in range(3))).astype(np.float64)
    return Gaussians(
        means=columns("x", "y", "z"),
        opacities=(1 / (1 + np.exp(-logits.clip(-80, 80)))).astype(np.float32),
        scales=np.exp(scales.clip(-80, 80)).astype(np.float32),
        quats=quats / np.maximum(norms, 1e-12),
        colors=colors,
        sh=sh,
    )


def _read_header(head: bytes, path: Path) -> tuple[list[str], int, int]:
    """Property names, number of splats, and where the rows start."""
    end = head.find(b"end_header\n")
    lines = head[: max(end, 0)].decode("ascii", "replace").split("\n")
    if end < 0 or lines[0] != "ply" or "format binary_little_endian 1.0" not in lines:
        raise InputError(f"{str(path)!r} is no binary little-endian PLY file")
    names: list[str] = []
    count = None
    for line in lines[1:]:
        words = line.split()
        if words[:1] == ["element"]:
            if len(words) != 3 or words[1] != "vertex" or count is not None:
                raise InputError(f"{str(path)!r} has elements other than vertices: {line!r}")
            if not words[2].isdecimal() or len(words[2]) > 12:
                raise InputError(f"{str(path)!r} states {words[2]!r} vertices; it is damaged")
            count = int(words[2])
        elif words[:1] == ["property"]:
            if len(words) != 3 or words[1] not in ("float", "float32"):
                raise InputError(f"{str(path)!r} has {line!r}; all properties must be float")
            names.append(words[2])
    if count is None or len(set(names)) != len(names):
        raise InputError(f"{str(path)!r} states no vertices, or a property twice")
    return names, count, end + len(b"end_header\n")


def write_ply(gaussians: Gaussians, path: str | Path) -> None:
    """Write the layout of the original 3DGS code, binary little-endian.

    Properties: ``x y z nx ny nz f_dc_* f_rest_* opacity scale_* rot_*``; ``opacity`` is a logit,
    ``scale_*`` are logarithms, ``rot_*`` is wxyz, ``f_rest_*`` channel-major. The file is in the
    object frame (z up).
    """
    count = len(gaussians)
    if gaussians.sh is None:
        assert gaussians.colors is not None
        dc = (gaussians.colors - 0.5) / SH_C0
        rest = np.empty((count, 0), np.float32)
    else:
        dc = gaussians.sh[:, 0]
        rest = gaussians.sh[:, 1:].transpose(0, 2, 1).reshape(count, -1)
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    names += [f"f_rest_{i}" for i in range(rest.shape[1])]
    names += ["opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    opacity = np.clip(gaussians.opacities.astype(np.float64), 1e-7, 1 - 1e-7)
    table = np.empty((count, len(names)), dtype="<f4")
    table[:, 0:3] = gaussians.means
    table[:, 3:6] = 0
    table[:, 6:9] = dc
    table[:, 9 : 9 + rest.shape[1]] = rest
    table[:, -8] = np.log(opacity / (1 - opacity))
    table[:, -7:-4] = np.log(np.maximum(gaussians.scales, SMALLEST_SCALE))
    table[:, -4:] = gaussians.quats
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [f"property float {name}" for name in names] + ["end_header", ""]
    with atomic_file(path) as file:
        file.write("\n".join(header).encode())
        file.write(table.data)
