"""Average a checkpoint with another of the same model, such as the one its training went on from.

Weights halfway between a model and what further training on other data made of it often do better
on both than either: what one has learned by heart and the other has not is evened out.

What needs torch is imported late, so that the command can say in a sentence that it is missing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geolrm.engine.bundle.manifest import CONFIG_KEY
from geolrm.engine.errors import CheckpointError, InputError
from geolrm.engine.system.atomic import atomic_file, check_writable
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.extras import require

if TYPE_CHECKING:
    from geolrm.export.model import GeoLRM, GeoLRMConfig


def average(trained: GeoLRM, origin: GeoLRM, names: tuple[str, str]) -> GeoLRM:
    """Return ``origin`` with the means of its weights and those of ``trained``.

    Networks of a learned refinement that only one of them has, or has in another size, are those of
    ``origin``, and so is the occupancy bias. Counters have no mean: they are its own, too.

    Args:
        trained: What further training came to.
        origin: What that training went on from; is changed.
        names: Of the two checkpoints, for the error.

    Raises:
        CheckpointError: They are not of one model.
    """
    from geolrm.export.model.checks import differences

    differing = differences(comparable(trained.config), comparable(origin.config))
    if differing:
        raise CheckpointError(
            f"{names[0]!r} and {names[1]!r} are of different models ({', '.join(differing[:3])}); "
            "give a checkpoint that the training of the first went on from"
        )
    weights = trained.state_dict()
    apart = tuple(
        f"splat_{network}."
        for network in ("update", "closing")
        if getattr(trained.config, network) != getattr(origin.config, network)
    )
    for key, mean in origin.state_dict().items():
        if mean.is_floating_point() and not key.startswith(apart):
            mean.add_(weights[key]).mul_(0.5)
    return origin


def comparable(config: GeoLRMConfig) -> dict[str, Any]:
    """Return a configuration without what two checkpoints of one model may differ in."""
    proposal = replace(config.proposal, occupancy_bias=0.0)
    return asdict(replace(config, update=None, closing=None, proposal=proposal))


def main(arguments: list[str] | None = None) -> None:
    """Average two checkpoints into a third, which states its configuration."""
    parser = argparse.ArgumentParser(
        prog="python -m geolrm.export.averaging", description=str(main.__doc__)
    )
    parser.add_argument("trained", help="checkpoint that further training came to")
    parser.add_argument(
        "origin",
        help="checkpoint that it went on from, or 'mini'; a learned refinement that the other "
        "lacks stays",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help=".safetensors to write")
    options = parser.parse_args(arguments)
    with one_sentence_errors():
        if options.output.suffix != ".safetensors":
            raise InputError(
                f"--output is {str(options.output)!r}; its name must end in .safetensors"
            )
        check_writable(options.output)
        require("torch", "geolrm.export.averaging")
        from safetensors.torch import save

        from geolrm.export.checkpoint import load_checkpoint

        names = options.trained, options.origin
        trained, origin = (load_checkpoint(name)[0] for name in names)
        made = average(trained, origin, names)
        weights = {key: tensor.contiguous() for key, tensor in made.state_dict().items()}
        metadata = {CONFIG_KEY: json.dumps(asdict(made.config)), "format": "pt"}
        with atomic_file(options.output) as stream:
            stream.write(save(weights, metadata))
        print(f"the means of {names[0]} and {names[1]} -> {options.output}")


if __name__ == "__main__":
    main()
