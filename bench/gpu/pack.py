"""``python -m geolrm.bench.gpu.pack -o FOLDER``: all that a bare machine with a GPU needs.

The machine has Python 3.12 with torch, onnx and NVIDIA's libraries, and no network. The folder goes
there beside a checkout of this very state, and in the checkout's root

    bash FOLDER/start.sh -o OUT --settings 21x16384,6x8192 --seconds 3 --limit 560

is ``geolrm bench gpu`` with these options.
"""

import argparse
import io
import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from geolrm.bench.gpu.packing import cubins, fat_binaries, launch_log, wheels
from geolrm.engine.backends.cuda.onnxruntime_segment import OPTIONS
from geolrm.engine.cuda.compiler import compiler_version
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.atomic import atomic_file

PROVIDER = Path("onnxruntime/capi/libonnxruntime_providers_cuda.so")
ARCHIVE, START, CONTENTS = "packages.tar.xz", "start.sh", "contents.json"
LARGEST = 35 << 20  # bytes of the folder
SMALL = 64 << 10  # bytes of code: such modules stay in any case, since sizes choose among kernels
SIZES = ((1, 1), (2, 300), (6, 8192), (21, 16384))  # views and anchors of the launch log
START_TEXT = Path(__file__).with_name("packing") / "start.sh"

Progress = Callable[[str], None]


def pack(
    folder: Path, python: str, downloads: Path, sm: int = 90, progress: Progress = print
) -> dict[str, object]:
    """Fetch, build, prune and write the folder; return what ``contents.json`` says.

    Args:
        folder: To be written.
        python: An interpreter of the machine's version.
        downloads: Where wheels are kept between calls.
        sm: The GPU's compute capability, 90 for an H100 or H200.
        progress: Called with a line for each step.

    Raises:
        InputError: The folder is a file.
        GeoLRMError: A package, a compiler or an interpreter is missing; the folder gets too large.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; name a folder to pack into with -o")
    with tempfile.TemporaryDirectory(prefix="geolrm-pack-") as made:
        work = Path(made)
        site, log_site, cache = work / "site", work / "log", work / "cache"
        progress("downloading packages, building the extension")
        wheels.fetch(python, downloads)
        wheels.unpack(downloads, site, log_site)
        progress("tracing graphs, running them over the launch log")
        used = launched(python, log_site, work)
        progress(f"keeping {len(used)} modules of kernels and the small ones")
        code = (site / PROVIDER).read_bytes()
        (site / PROVIDER).write_bytes(fat_binaries.prune(code, with_small(code, used, sm), sm))
        progress(f"compiling our kernels for sm_{sm}")
        count = cubins.write_cubins(cache, f"sm_{sm}")
        contents = {
            "python": wheels.PYTHON,
            "packages": wheels.requirements(),
            "sm": sm,
            "cubins": count,
            "nvrtc": compiler_version(),  # another one there compiles them again
            "launched": {hex(address): names for address, names in used.items()},
        }
        write(folder, site, cache, contents)
    size = sum(path.stat().st_size for path in folder.iterdir())
    progress(f"{folder}: {size / 2**20:.1f} MiB")
    if size > LARGEST:
        raise GeoLRMError(
            f"{str(folder)!r} has {size / 2**20:.1f} MiB; at most {LARGEST >> 20} travel. Leave "
            "out more in bench/gpu/packing/wheels.py"
        )
    return contents


def launched(python: str, packages: Path, work: Path) -> dict[int, list[str]]:
    """Find out which modules of ONNX Runtime's CUDA provider our graphs launch."""
    import onnx

    from geolrm.bench.gpu.packing import logged_graphs

    graphs = []
    for path in logged_graphs.write_graphs(work):
        model = onnx.load(path)
        given = [logged_graphs.feeds(model, *sizes) for sizes in SIZES]
        graphs.append({"graph": str(path), "feeds": given})
    libraries = launch_log.build((packages / PROVIDER).read_bytes(), work / "launch_log")
    return launch_log.launched(python, packages, libraries, graphs, OPTIONS)


def with_small(library: bytes, used: dict[int, list[str]], sm: int) -> set[int]:
    """Add the modules with little code for the GPU to those that were launched."""
    small = set(used)
    for module in fat_binaries.modules(library):
        sizes = [image.size for image in module.images if image.architecture == sm]
        if sizes and sum(sizes) <= SMALL:
            small.add(module.address)
    return small


def write(folder: Path, site: Path, cache: Path, contents: dict[str, object]) -> None:
    """Write the archive, the program that unpacks it, and what is in it; replaces an older one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        atomic_file(folder / ARCHIVE) as file,
        tarfile.open(fileobj=file, mode="w:xz", preset=6) as archive,
    ):
        for name, part in (("site", site), ("cache", cache)):
            for path in sorted(each for each in part.rglob("*") if each.is_file()):
                _add(archive, path, f"{name}/{path.relative_to(part).as_posix()}")
    with atomic_file(folder / START) as file:
        file.write(START_TEXT.read_bytes())
    with atomic_file(folder / CONTENTS) as file:
        file.write((json.dumps(contents, indent=1) + "\n").encode())


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file without its owner and its date: the same content is the same archive."""
    content = path.read_bytes()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m geolrm.bench.gpu.pack")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder to write")
    parser.add_argument("--python", help=f"an interpreter of Python {wheels.PYTHON}")
    parser.add_argument("--sm", type=int, default=90, help="the GPU's compute capability: 90")
    parser.add_argument("--downloads", type=Path, help="keeps wheels here for the next time")
    options = parser.parse_args(arguments)
    downloads = options.downloads or Path(tempfile.mkdtemp(prefix="geolrm-wheels-"))
    try:
        pack(options.output, wheels.find_python(options.python), downloads, options.sm)
    except GeoLRMError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, InputError) else 1) from error
    finally:
        if options.downloads is None:
            shutil.rmtree(downloads, ignore_errors=True)


if __name__ == "__main__":
    main()
