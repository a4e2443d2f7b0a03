"""A run's folder: recipe, checkpoints that resume to the step, metrics and pictures.

Nothing is unpickled: tensors are safetensors files, the rest is JSON, and a checkpoint carries the
hash of its file, so that a damaged one is named and passed over.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from geolrm.engine.atomic import atomic_file
from geolrm.engine.bundle import file_sha256
from geolrm.engine.errors import CheckpointError, InputError
from geolrm.export.bundle_writer import CONFIG_KEY
from geolrm.export.model import GeoLRMConfig
from geolrm.training.config import Recipe
from geolrm.training.optimizer import MovingAverage

KEPT = 2  # checkpoints
WEIGHTS_NAME = "weights.safetensors"  # the moving average, in the format that geolrm-export reads


class CheckpointNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands beside the tensors of a checkpoint."""

    step: int
    sha256: str
    bytes: int


@dataclass
class TrainingState:
    """All that a step changes."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: MovingAverage
    step: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """Flat, named tensors."""
        flat = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        flat |= {f"average.{k}": v for k, v in self.average.weights.items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                flat[f"optimizer.{key}.{name}"] = value
        return {k: v.detach().cpu().contiguous() for k, v in flat.items()}

    def restore(self, flat: dict[str, Tensor], step: int) -> None:
        """Take the tensors of :meth:`tensors` back, strictly."""
        part = lambda prefix: {  # noqa: E731
            k.removeprefix(prefix): v for k, v in flat.items() if k.startswith(prefix)
        }
        self.model.load_state_dict(part("model."))
        for name, value in part("average.").items():
            self.average.weights[name].copy_(value)
        for name, parameter in self.model.named_parameters():
            entry = {}
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = flat.get(f"optimizer.{key}.{name}")
                if value is not None:
                    entry[key] = value.clone() if key == "step" else value.to(parameter.device)
            if entry:
                self.optimizer.state[parameter] = entry
        self.step = step


class RunFolder:
    """Files of one training run."""

    def __init__(self, path: Path):
        self.path = path

    def start(self, recipe: Recipe, version: dict[str, Any]) -> None:
        """Create the folder, or check that it belongs to this recipe (its length may differ)."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "checkpoints").mkdir(exist_ok=True)
        described = json.loads(msgspec.json.encode({"recipe": asdict(recipe)}))
        file = self.path / "run.json"
        if file.is_file():
            stored = json.loads(file.read_text())["recipe"]
            differing = [
                key for key, value in described["recipe"].items()
                if key != "steps" and stored.get(key) != value
            ]  # fmt: skip
            if differing:
                raise InputError(
                    f"{str(self.path)!r} holds a run of another recipe (it differs in "
                    f"{', '.join(differing)}); continue it with its own settings, or choose "
                    "another folder"
                )
        with atomic_file(file) as stream:
            stream.write(json.dumps({**described, "version": version}, indent=1).encode() + b"\n")

    def checkpoints(self) -> list[Path]:
        """Checkpoint files, newest first."""
        return sorted((self.path / "checkpoints").glob("step*.safetensors"), reverse=True)

    def save(self, state: TrainingState) -> Path:
        """Write a checkpoint whole or not at all, and drop the oldest."""
        file = self.path / "checkpoints" / f"step{state.step:08d}.safetensors"
        content = save(state.tensors())
        with atomic_file(file) as stream:
            stream.write(content)
        note = CheckpointNote(state.step, file_sha256(file), len(content))
        with atomic_file(file.with_suffix(".json")) as stream:
            stream.write(msgspec.json.encode(note))
        for old in self.checkpoints()[KEPT:]:
            old.unlink()
            old.with_suffix(".json").unlink(missing_ok=True)
        return file

    def save_weights(self, state: TrainingState, config: GeoLRMConfig) -> Path:
        """The moving average with its configuration: a checkpoint for geolrm-export."""
        file = self.path / WEIGHTS_NAME
        metadata = {CONFIG_KEY: json.dumps(asdict(config)), "format": "pt"}
        weights = {k: v.detach().cpu().contiguous() for k, v in state.average.weights.items()}
        with atomic_file(file) as stream:
            stream.write(save(weights, metadata))
        return file

    def resume(self, state: TrainingState, warn: Any = print) -> bool:
        """Restore the newest sound checkpoint; damaged ones are named and passed over."""
        for file in self.checkpoints():
            try:
                flat, step = read_checkpoint(file)
                state.restore(flat, step)
            except (CheckpointError, RuntimeError, KeyError) as error:
                warn(f"passing over {file}: {' '.join(str(error).split())[:200]}")
                continue
            return True
        return False

    def log(self, record: dict[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``."""
        with (self.path / "metrics.jsonl").open("a") as stream:
            stream.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """All whole lines of ``metrics.jsonl``; of a step that was repeated, the last."""
        file = self.path / "metrics.jsonl"
        found: dict[int, dict[str, Any]] = {}
        for line in file.read_text().splitlines() if file.is_file() else []:
            try:
                record = json.loads(line)
            except ValueError:
                continue  # a line that a killed run left half-written
            found[record["step"]] = record
        return [found[step] for step in sorted(found)]


def read_checkpoint(file: Path) -> tuple[dict[str, Tensor], int]:
    """Tensors and step of a checkpoint.

    Raises:
        CheckpointError: The file is not what its note says.
    """
    try:
        note = msgspec.json.decode(file.with_suffix(".json").read_bytes(), type=CheckpointNote)
        if file.stat().st_size != note.bytes or file_sha256(file) != note.sha256:
            raise CheckpointError(f"{str(file)!r} is damaged: its hash is not the recorded one")
        return load_file(file), note.step
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise CheckpointError(f"{str(file)!r} cannot be read: {error}") from error
