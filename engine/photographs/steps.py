"""Steps whose results are kept, by a hash of what they were made of."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import atomic_file, error_text

VERSION = 2  # of what the steps do: raise it when they do something else
MANIFEST = "manifest.json"
Tell = Callable[[str], Callable[[int, int], None]]  # a step's title to what takes its progress


class Steps:
    """A folder of steps; one that is done is not done again, one that was interrupted goes on."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.repeated: list[str] = []  # names of the steps that were done before
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {str(folder)!r}: {error_text(error)}") from error

    def place(self, name: str, *inputs: Any) -> Path:
        """Return the folder of a step with these inputs; those of other inputs are removed.

        What an interrupted call left there is still there.
        """
        key = digest(VERSION, name, *inputs)[:12]
        path = self.folder / f"{name}-{key}"
        for other in self.folder.glob(f"{name}-*"):
            if other != path and other.name.removeprefix(f"{name}-").isalnum():
                shutil.rmtree(other, ignore_errors=True)
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {str(path)!r}: {error_text(error)}") from error
        return path

    def done(self, path: Path, make: Callable[[], Any]) -> Any:
        """Return the result of a step, JSON, made now unless it was made before."""
        file = path / MANIFEST
        try:
            result = json.loads(file.read_text(encoding="utf-8"))["result"]
        except (OSError, ValueError, KeyError, TypeError):
            result = make()
            with atomic_file(file) as opened:
                opened.write(json.dumps({"version": VERSION, "result": result}).encode())
            return result
        if (name := path.name.rsplit("-", 1)[0]) not in self.repeated:
            self.repeated.append(name)
        return result


def digest(*parts: Any) -> str:
    """Hash values that JSON takes."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Hash the bytes of a file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error_text(error)}") from error
