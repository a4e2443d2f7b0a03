"""The paper's ablations as switches of a recipe."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from geolrm.engine.errors import InputError
from geolrm.export.model import EncoderConfig, GeoLRMConfig, TransformerConfig
from geolrm.training.config import Recipe


def switched(
    recipe: Recipe,
    without: Sequence[str] = (),
    points: int | None = None,
    views: int | None = None,
    self_attention: str | None = None,
) -> Recipe:
    """Return the recipe under some of the paper's ablations.

    Args:
        recipe: To start from.
        without: Any of ``rays``, ``low-level``, ``high-level``, ``rope``.
        points: Sampling points of each head and level; 0 samples at the projected anchor.
        views: Fixed number of input views.
        self_attention: ``token`` or ``head``, for both stages.

    Raises:
        InputError: There is no such switch, variant or number of points.
    """
    model = recipe.model
    for name in without:
        if name not in SWITCHES:
            raise InputError(f"--without is {name!r}; it must be one of {', '.join(SWITCHES)}")
    if points is not None and points < 0:
        raise InputError(f"--points is {points}; it must be 0 or more")
    if self_attention not in (None, "token", "head"):
        raise InputError(f"--self-attention is {self_attention!r}; it must be 'token' or 'head'")
    for name in without:
        model = SWITCHES[name](model)
    if points is not None:
        model = _transformers(model, num_points=points)
    if self_attention is not None:
        model = model.with_self_attention(self_attention)
    recipe = replace(recipe, model=model)
    if views is not None:
        recipe = replace(recipe, views=replace(recipe.views, min_inputs=views, max_inputs=views))
    return recipe


def _encoder(model: GeoLRMConfig, **fields: Any) -> GeoLRMConfig:
    encoder: EncoderConfig = replace(model.encoder, **fields)
    return replace(model, encoder=encoder)


def _transformers(model: GeoLRMConfig, **fields: Any) -> GeoLRMConfig:
    change: Callable[[TransformerConfig], TransformerConfig] = lambda t: replace(t, **fields)  # noqa: E731
    proposal, reconstruction = model.proposal, model.reconstruction
    return replace(
        model,
        proposal=replace(proposal, transformer=change(proposal.transformer)),
        reconstruction=replace(reconstruction, transformer=change(reconstruction.transformer)),
    )


SWITCHES: dict[str, Callable[[GeoLRMConfig], GeoLRMConfig]] = {
    "rays": lambda model: _encoder(model, rays="none"),
    "low-level": lambda model: _encoder(model, use_low_level=False),
    "high-level": lambda model: _encoder(model, use_high_level=False),
    "rope": lambda model: _transformers(model, use_rope=False),
}
