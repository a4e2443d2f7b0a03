"""CPython's headers for Windows and a library to link against, from the distribution's sources."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

NAME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
DLL = NAME.replace(".", "")
COMMENTS = re.compile(r"/\*.*?\*/", re.S)
FUNCTIONS = re.compile(r"PyAPI_FUNC\([^)]*\)\s*(\w+)\s*\(")
VALUES = re.compile(r"PyAPI_DATA\([^)]*\)\s*(\w+)\s*[;\[]")


def windows_python(place: Path, zig: str) -> tuple[Path, Path]:
    """Return the folder of headers and the library, made once under ``place``."""
    include, library = place / "include", place / f"{DLL}.lib"
    if not library.exists():
        shutil.rmtree(include, ignore_errors=True)
        unpack(fetch(place), include)
        definitions = place / f"{DLL}.def"
        definitions.write_text(exports(include), encoding="utf-8")
        subprocess.run(
            [zig, "dlltool", "-d", definitions, "-l", library, "-m", "i386:x86-64"], check=True
        )
    return include, library


def fetch(place: Path) -> Path:
    """Fetch the distribution's source of this version of Python by apt-get; return the archive."""
    if shutil.which("apt-get") is None:
        raise SystemExit("CPython's headers for Windows come by apt-get, which is not there")
    parts = place / "apt" / "parts"
    for folder in (parts, place / "apt" / "lists" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    system = Path("/etc/apt")
    lists = [system / "sources.list", *(system / "sources.list.d").glob("*")]
    for path in (path for path in lists if path.is_file()):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"^Types:.*$", "Types: deb-src", text, flags=re.M)
        text = re.sub(r"^deb ", "deb-src ", text, flags=re.M)
        (parts / path.name).write_text(text, encoding="utf-8")
    apt = [
        "apt-get", "-qq", "-oDir::Etc::SourceList=/dev/null", f"-oDir::Etc::SourceParts={parts}",
        f"-oDir::State::lists={place}/apt/lists", "-oAPT::Sandbox::User=root",
    ]  # fmt: skip
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "source", "--tar-only", "--download-only", NAME], cwd=place, check=True)
    return next(place.glob("*.orig.tar.*"))


def unpack(archive: Path, include: Path) -> None:
    """Unpack the headers; pyconfig.h is that of Windows, which configure does not write."""
    with tarfile.open(archive) as tar:
        for member in tar:
            inner = Path(*Path(member.name).parts[1:])
            if inner.parts[:1] == ("Include",) and member.isfile():
                to = include / inner.relative_to("Include")
            elif inner.as_posix() in ("PC/pyconfig.h", "PC/pyconfig.h.in"):
                to = include / "pyconfig.h"
            else:
                continue
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(tar.extractfile(member).read())


def exports(include: Path) -> str:
    """Return a definition file of what the public headers declare."""
    functions, values = set(), set()
    for path in include.rglob("*.h"):
        if "internal" not in path.parts:
            text = COMMENTS.sub("", path.read_text(encoding="utf-8"))
            functions.update(FUNCTIONS.findall(text))
            values.update(VALUES.findall(text))
    names = sorted(functions) + [f"{name} DATA" for name in sorted(values - functions)]
    return "\n".join([f"LIBRARY {DLL}.dll", "EXPORTS", *names, ""])
