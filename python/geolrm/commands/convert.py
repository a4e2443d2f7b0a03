"""``geolrm convert``: one splat file into another."""

from pathlib import Path
from typing import Annotated, Any

import typer

from geolrm.commands.console import check_not_input, counted, print_json, say, steps
from geolrm.commands.run_options import ShDegree, SpzVersion
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import check_writable
from geolrm.engine.system.user_warnings import warn

OUT_OF_MEMORY = "split the file"


def convert(
    source: Annotated[Path, typer.Argument(help="A .ply, .spz, .splat, .glb, .sog or .npz file.")],
    output: Annotated[Path, typer.Argument(help="The file to write; its suffix says how.")],
    up: Annotated[
        str | None, typer.Option(help="'y' or 'z', up in the output; default: the format's own.")
    ] = None,
    prune_opacity: Annotated[
        float | None, typer.Option(help="Leave out splats of less opacity, 0 to 1.")
    ] = None,
    max_splats: Annotated[
        int | None, typer.Option(help="Keep at most this many: those of most opacity and area.")
    ] = None,
    raw_ply: Annotated[
        bool, typer.Option("--raw-ply", help="Write the PLY layout of GeoLRM's own script.")
    ] = False,
    sh_degree: ShDegree = None,
    spz_version: SpzVersion = None,
    from_up: Annotated[
        str | None, typer.Option(help="'y' or 'z', up in the input; default: the format's own.")
    ] = None,
    from_raw_ply: Annotated[
        bool | None,
        typer.Option(
            "--from-raw-ply/--from-standard-ply", help="Layout of the input; default: found out."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Convert splats between PLY, SPZ, .splat, GLB, SOG and npz, and to USD.

    Example: geolrm convert shoe.ply shoe.spz --prune-opacity 0.005
    """
    from geolrm.engine.formats import splat_files
    from geolrm.engine.formats.splat_files import READ_SUFFIXES, resolve, suffix_of
    from geolrm.engine.gaussians.thinning import check_count, check_opacity, keep_largest, prune

    read_as = suffix_of(source, READ_SUFFIXES)
    resolve(read_as, from_up, "--from-up")
    splat_files.check_read(read_as, repr(str(source)))
    written_as = suffix_of(output)
    resolve(written_as, up, "--up")
    if prune_opacity is not None:
        check_opacity(prune_opacity)
    if max_splats is not None:
        check_count(max_splats)
    check_output(output, raw_ply, sh_degree, spz_version)
    check_not_input(output, source)
    with steps(not as_json) as step:
        step("reading")
        found = splat_files.load_counted(source, up=from_up, raw=from_raw_ply)
        read = found.gaussians
        kept = read if prune_opacity is None else prune(read, prune_opacity)
        written = kept if max_splats is None else keep_largest(kept, max_splats)
        step("writing")
        if len(read) and not len(written):
            warn(f"no splat has an opacity of {prune_opacity}: none is left")
        options = {"up": up, "raw": raw_ply, "sh_degree": sh_degree, "spz_version": spz_version}
        splat_files.save(written, output, **options)
    size = output.stat().st_size
    summary: dict[str, Any] = {
        "input": str(source),
        "output": str(output),
        "read": len(read),
        "not_finite": found.left_out,  # left out while reading
        "pruned": len(read) - len(kept),
        "beyond_max_splats": len(kept) - len(written),
        "written": len(written),
        "bytes": size,
    }
    if as_json:
        print_json(summary)
        return
    kept_of = counted(len(written), "Gaussian")
    total = len(read) + found.left_out
    if len(written) != total:
        kept_of = f"{len(written):,} of {counted(total, 'Gaussian')}"
    say(f"{kept_of}, {size:,} bytes -> {output}")


def check_output(
    output: Path,
    raw_ply: bool = False,
    sh_degree: int | None = None,
    spz_version: int | None = None,
) -> None:
    """Refuse early a splat file that could not be written."""
    from geolrm.engine.formats import usd
    from geolrm.engine.formats.splat_files import (
        SUFFIXES,
        check_sh_degree,
        check_spz_version,
        check_written,
        suffix_of,
    )

    check_written(output)
    check_sh_degree(suffix_of(output), sh_degree, "--sh-degree")
    check_spz_version(suffix_of(output), spz_version, "--spz-version")
    if raw_ply and sh_degree is not None:
        raise InputError("--sh-degree was given, but a raw PLY holds no harmonics: leave it out")

    if suffix_of(output) == ".usdc":
        usd.check_crate()
    if suffix_of(output) != ".ply" and raw_ply:
        raise InputError(f"--raw-ply was given, but output {str(output)!r} is no .ply; name one")
    if output.is_dir():
        raise InputError(f"output {str(output)!r} is a folder; name a file in it: {SUFFIXES}")
    check_writable(output)
