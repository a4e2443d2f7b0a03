"""The same model in torch, eager or compiled, from prepared views to Gaussians on the host."""

from collections.abc import Callable, Sequence
from typing import Any

from geolrm.bench.engine import make_views
from geolrm.bench.gpu.choices import Choices
from geolrm.bench.gpu.engine import make_model
from geolrm.bench.gpu.report import NotRun, Recorder, Row
from geolrm.bench.gpu.timing import milliseconds

OLDEST_TORCH = (2, 11)


def measure_torch(compiled: bool, record: Recorder, choices: Choices, model: Any = None) -> None:
    """Measure the torch model under autocast to float16, eager or compiled; add rows."""
    import torch

    numbers = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if numbers < OLDEST_TORCH:
        raise NotRun(f"torch is {torch.__version__}; it must be 2.11 or newer")
    if not torch.cuda.is_available():
        raise NotRun(f"torch {torch.__version__} sees no CUDA device")
    model = (model or make_model()).cuda()
    stages = stages_of(model)
    if compiled:
        stages = [torch.compile(stage, dynamic=True) for stage in stages]
    for count, number in choices.settings:
        row: Row = record.add({"V": count, "N": number})
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        run = torch_run(model, stages, count, number, "cuda")
        row |= milliseconds(
            run, torch.cuda.synchronize, repeats=20, warm_up=2, seconds=choices.seconds
        )
        row["peak GB"] = torch.cuda.max_memory_allocated() / 1e9
        record.keep()
        print(row, flush=True)


def stages_of(model: Any) -> list[Callable[..., Any]]:
    """Return the model's three stages as functions of tensors."""

    def reconstruct(features, projection, anchors, rope, foreground, volume):
        return model.lrm_generator(
            features, projection, anchors, rope, model.level_shapes, foreground, volume
        )

    return [model.encode, model.propose, reconstruct]


def torch_run(
    model: Any, stages: Sequence[Callable[..., Any]], count: int, anchors: int, device: str
) -> Callable[[], Any]:
    """Make a whole run in torch, without host arithmetic between the stages."""
    import torch

    from geolrm.engine.geometry.voxel_grid import rope_indices, voxel_axis

    config = model.config
    side, rope = config.proposal.grid_size, config.reconstruction
    _, views = make_views(config.image_size, count)
    arrays = (views.images, views.c2w, views.intrinsics, views.projection, views.foreground)
    host = [torch.from_numpy(array) for array in arrays]
    if device == "cuda":
        host = [tensor.pin_memory() for tensor in host]
    axis = voxel_axis(side)
    table = torch.from_numpy(rope_indices(axis, rope.grid_size, rope.xyz_scale)).to(device)
    centres = torch.from_numpy(axis).to(device)
    encode, propose, reconstruct = stages

    def run() -> Any:
        images, c2w, intrinsics, projection, foreground = (
            tensor.to(device, non_blocking=True) for tensor in host
        )
        with torch.inference_mode(), torch.autocast(device, torch.float16):
            for_proposal, features = encode(images, c2w, intrinsics)
            proposal = propose(for_proposal, projection, foreground)
            occupied = torch.nonzero(proposal.logits.flatten() > 0)[:anchors, 0]
            voxels = torch.stack(torch.unravel_index(occupied, (side,) * 3), -1)
            made = reconstruct(
                features, projection, centres[voxels], table[voxels], foreground, proposal.volume
            )
            return [tensor.cpu() for tensor in made]

    return run
