"""A run's folder: recipe, checkpoints that resume to the step, metrics and images.

Nothing is unpickled: tensors are safetensors files, the rest is JSON, and a checkpoint carries the
hash of its file, so that a damaged one is named and passed over.
"""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from geolrm.engine.bundle.bundle import file_sha256
from geolrm.engine.bundle.manifest import CONFIG_KEY
from geolrm.engine.errors import CheckpointError, InputError
from geolrm.engine.system.atomic import atomic_file, check_writable, existing_path
from geolrm.engine.system.temporary import remove_all_leftovers
from geolrm.export.model import GeoLRMConfig
from geolrm.export.model.checks import differences
from geolrm.training.config import Recipe
from geolrm.training.recipe_files import decode_recipe
from geolrm.training.state import TrainingState

KEPT = 2  # checkpoints
WEIGHTS_NAME = "weights.safetensors"  # the moving average, in the format that geolrm-export reads
BEST_NAME = "best.safetensors"  # the same, where it did best on the objects set aside
VALIDATION_NAME = "validation.jsonl"
RUN_NAME, DATA_NAME, METRICS_NAME = "run.json", "objects.json", "metrics.jsonl"
DAMAGED = ".damaged"  # is added to the name of a checkpoint that was passed over


class CheckpointNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The note beside the tensors of a checkpoint."""

    step: int
    sha256: str
    bytes: int


class RunFolder:
    """Files of one training run."""

    def __init__(self, path: str | Path):
        self.path = existing_path(path)

    def check(self, recipe: Recipe) -> None:
        """Check that the folder may serve this recipe; a run in it may have had another length.

        Raises:
            InputError: It holds a run of another recipe, or cannot be written.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{str(self.path)!r} is a file; name a folder with -o")
        check_writable(self.path / RUN_NAME)
        if not (self.path / RUN_NAME).is_file():
            return
        stored, _ = self.described()
        differing = differences(asdict(stored), asdict(replace(recipe, steps=stored.steps)))
        if differing:
            raise InputError(
                f"{str(self.path)!r} holds a run of another recipe (it differs in "
                f"{', '.join(differing)}); continue it with its own settings, or choose another "
                "folder"
            )

    def start(self, recipe: Recipe, version: dict[str, Any]) -> None:
        """Check and create the folder; write what the run is, and which code works on it."""
        self.check(recipe)
        file = self.path / RUN_NAME
        versions = self.described()[1] if file.is_file() else []
        if version not in versions[-1:]:
            versions.append(version)
        (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.path / "checkpoints"):
            remove_all_leftovers(folder)  # of a run that was killed while it saved
        with atomic_file(file) as stream:
            content = {"recipe": asdict(recipe), "versions": versions}
            stream.write(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")

    def described(self) -> tuple[Recipe, list[dict[str, Any]]]:
        """Read the recipe of the run, and the versions of the code that worked on it.

        Raises:
            InputError: The file is damaged.
        """
        file = self.path / RUN_NAME
        try:
            content = json.loads(file.read_bytes())
            recipe = decode_recipe(content["recipe"], repr(str(file)))
            versions = content.get("versions", [content.get("version", {})])
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{str(file)!r} does not describe a run ({type(error).__name__}); it may be "
                "damaged: choose another folder"
            ) from error
        return recipe, versions

    def check_data(self, names: Sequence[str]) -> None:
        """Note the names of the objects, or warn that a resumed run had others."""
        file = self.path / DATA_NAME
        content = json.dumps(list(names)).encode()
        if file.is_file() and file.read_bytes() != content:
            warnings.warn(
                f"the run in {str(self.path)!r} was started on other objects than these "
                f"{len(names)}; it goes on with these, which no uninterrupted run would equal",
                stacklevel=2,
            )
        with atomic_file(file) as stream:
            stream.write(content)

    def checkpoints(self) -> list[Path]:
        """List the checkpoint files, newest first."""
        return sorted((self.path / "checkpoints").glob("step*.safetensors"), reverse=True)

    def save(self, state: TrainingState) -> Path:
        """Write a checkpoint whole or not at all, and drop the oldest."""
        file = self.path / "checkpoints" / f"step{state.step:08d}.safetensors"
        content = save(state.tensors())
        note = CheckpointNote(state.step, hashlib.sha256(content).hexdigest(), len(content))
        with atomic_file(file.with_suffix(".json")) as stream:
            stream.write(msgspec.json.encode(note))
        with atomic_file(file) as stream:
            stream.write(content)
        for old in self.checkpoints()[KEPT:]:
            old.unlink()
            old.with_suffix(".json").unlink(missing_ok=True)
        return file

    def save_weights(
        self, state: TrainingState, config: GeoLRMConfig, name: str = WEIGHTS_NAME
    ) -> Path:
        """Write the moving average with its configuration: a checkpoint for geolrm-export."""
        file = self.path / name
        metadata = {CONFIG_KEY: json.dumps(asdict(config)), "format": "pt"}
        weights = {k: v.detach().cpu().contiguous() for k, v in state.average.weights.items()}
        with atomic_file(file) as stream:
            stream.write(save(weights, metadata))
        return file

    def resume(self, state: TrainingState) -> bool:
        """Restore the newest sound checkpoint, and forget the metrics of later steps.

        Damaged checkpoints are named in a warning, set aside and passed over.

        Raises:
            CheckpointError: There are checkpoints, and none is sound.
        """
        files = self.checkpoints()
        for file in files:
            try:
                state.restore(*read_checkpoint(file))
            except CheckpointError as error:
                aside = file.with_name(file.name + DAMAGED)
                file.replace(aside)  # also where one of another day is
                warnings.warn(
                    f"passing over {str(file)!r}: {error}; it is now {aside.name}", stacklevel=2
                )
                continue
            self.rewind(state.step)
            return True
        if files:
            raise CheckpointError(
                f"none of the {len(files)} checkpoints in {str(self.path / 'checkpoints')!r} is "
                "sound; restore one, or train into another folder"
            )
        self.rewind(0)
        return False

    def log(self, record: dict[str, Any]) -> None:
        """Append a line to the metrics."""
        with (self.path / METRICS_NAME).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """Read all whole lines of the metrics; of a step that was repeated, the last."""
        return _records(self.path / METRICS_NAME)

    def log_validation(self, record: dict[str, Any]) -> None:
        """Append a line to the measurements on the objects set aside."""
        with (self.path / VALIDATION_NAME).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def validations(self) -> list[dict[str, Any]]:
        """Read the measurements on the objects set aside, as :meth:`records`."""
        return _records(self.path / VALIDATION_NAME)

    def rewind(self, step: int) -> None:
        """Forget the metrics of a step and all later ones: they will be made again."""
        # A measurement after ``step`` steps is of the checkpoint that a run resumes from.
        for name, kept in ((METRICS_NAME, step), (VALIDATION_NAME, step + 1)):
            file = self.path / name
            if not file.is_file():
                continue
            records = [record for record in _records(file) if record["step"] < kept]
            with atomic_file(file) as stream:
                stream.write("".join(json.dumps(record) + "\n" for record in records).encode())


def _records(file: Path) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            record = json.loads(line)
            found[record["step"]] = record
        except (ValueError, KeyError, TypeError):
            continue  # a line that a killed run left half-written
    return [found[step] for step in sorted(found)]


def read_checkpoint(file: Path) -> tuple[dict[str, Tensor], int]:
    """Read the tensors and the step of a checkpoint.

    Raises:
        CheckpointError: The file is not what its note says.
    """
    try:
        note = msgspec.json.decode(file.with_suffix(".json").read_bytes(), type=CheckpointNote)
        if file.stat().st_size != note.bytes or file_sha256(file) != note.sha256:
            raise CheckpointError("it is damaged: its hash is not the recorded one")
        return load_file(file), note.step
    except CheckpointError:
        raise
    except (OSError, ValueError, SafetensorError, msgspec.MsgspecError) as error:
        raise CheckpointError(f"it cannot be read: {' '.join(str(error).split())[:200]}") from error
