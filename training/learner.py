"""From losses to changed weights: gradients, their norm, a step of the optimizer."""

import math

from torch import Tensor

from geolrm.training.config import OptimizerConfig
from geolrm.training.optimizer import clip_gradients
from geolrm.training.state import TrainingState


class Learner:
    """Changes the weights of a run's state by the losses that it is given.

    Args:
        state: What is changed.
        config: Of its optimizer.
        rate: Of the steps to come.
    """

    def __init__(self, state: TrainingState, config: OptimizerConfig, rate: float) -> None:
        self.state, self.config = state, config
        self.norms: list[float] = []  # of the gradients, before clipping, a step each
        self._finite = True
        for group in state.optimizer.param_groups:
            group["lr"] = rate

    def add(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those that are there."""
        loss.backward()
        self._finite = self._finite and math.isfinite(float(loss.detach()))

    def step(self) -> None:
        """Take a step along the gradients, unless a loss or a gradient is no number."""
        self.norms.append(clip_gradients(self.state.model, self.config))
        if self._finite and math.isfinite(self.norms[-1]):
            self.state.optimizer.step()
            self.state.average.update(self.state.model, self.state.step)
        self.state.optimizer.zero_grad(set_to_none=True)
        self._finite = True

    def learn(self, loss: Tensor) -> None:
        """Take a step along the gradients of a loss alone."""
        self.add(loss)
        self.step()

    @property
    def norm(self) -> float:
        """The largest norm of all steps; no number, if one is none."""
        return math.nan if any(map(math.isnan, self.norms)) else max(self.norms, default=0.0)
