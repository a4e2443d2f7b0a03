"""All that a step changes, as named tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geolrm.engine.errors import CheckpointError
from geolrm.export.model import GeoLRM
from geolrm.training.optimizer import MovingAverage

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of AdamW


@dataclass
class TrainingState:
    """Weights, moments, averages, and how many steps made them."""

    model: GeoLRM
    optimizer: torch.optim.Optimizer
    average: MovingAverage
    step: int = 0

    def moments(self, weight: nn.Parameter) -> list[Tensor]:
        """Return the optimizer's moments of a weight that it has moved."""
        return [self.optimizer.state[weight][key] for key in MOMENTS[1:]]

    def steps(self, weight: nn.Parameter) -> Tensor:
        """Return the number [] of steps that moved a weight, which lies on the CPU."""
        return self.optimizer.state[weight][MOMENTS[0]]

    def tensors(self) -> dict[str, Tensor]:
        """Name all tensors, flat and copied to the CPU."""
        flat = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        flat |= {f"average.{k}": v for k, v in self.average.weights.items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                flat[f"optimizer.{key}.{name}"] = value
        return {k: v.detach().cpu().contiguous() for k, v in flat.items()}

    def restore(self, flat: dict[str, Tensor], step: int) -> None:
        """Take the tensors of :meth:`tensors` back, strictly.

        Raises:
            CheckpointError: A tensor is missing, unknown or misshapen.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in flat.items()}
        moved = [
            name for name, _ in self.model.named_parameters() if f"optimizer.step.{name}" in flat
        ]
        expected = self.shapes(moved)
        if shapes != expected:
            names = sorted(set(shapes.items()) ^ set(expected.items()))
            raise CheckpointError(
                f"it does not fit this model: {len(names)} tensors are missing, unknown or "
                f"misshapen ({names[0][0]})"
            )
        self.model.load_state_dict(_under("model.", flat))
        for name, value in _under("average.", flat).items():
            self.average.weights[name].copy_(value)
        self.optimizer.state.clear()
        parameters = dict(self.model.named_parameters())
        for name in moved:
            count, *moments = (flat[f"optimizer.{key}.{name}"] for key in MOMENTS)
            parameter = parameters[name]
            copies = [count.clone(), *(m.to(parameter.device, copy=True) for m in moments)]
            self.optimizer.state[parameter] = dict(zip(MOMENTS, copies, strict=True))
        self.step = step

    def shapes(self, moved: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors by name; ``moved`` parameters have moments."""
        weights = {k: tuple(v.shape) for k, v in self.model.state_dict().items()}
        named = {f"{kind}.{k}": v for kind in ("model", "average") for k, v in weights.items()}
        for name in moved:
            for key in MOMENTS:
                named[f"optimizer.{key}.{name}"] = () if key == "step" else weights[name]
        return named


def _under(prefix: str, flat: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the tensors below a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in flat.items() if k.startswith(prefix)}
