"""Losses of both stages (paper section 3.4), and the extra terms that mini is trained with."""

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_CLAMP = -100.0
SSIM_TAPS, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
SOLID = 0.25  # opacity of a Gaussian that may stand for a surface


def scene_class_affinity(logits: Tensor, target: Tensor) -> Tensor:
    """Return the geometric scene-class affinity of soft occupancy.

    Args:
        logits: [...] occupancy logits.
        target: [...] 0 or 1, the same shape.

    Returns:
        -ln precision - ln recall - ln specificity, a scalar; each logarithm is clamped at -100.
    """
    p = logits.sigmoid()
    hit = (p * target).sum()
    precision = hit / p.sum()
    recall = hit / target.sum()
    specificity = ((1 - p) * (1 - target)).sum() / (1 - target).sum()
    terms = torch.stack([precision, recall, specificity])
    return -terms.log().clamp_min(LOG_CLAMP).sum()


def occupancy_loss(
    logits: Tensor, target: Tensor, affinity: float = 1.0, positive_weight: float = 1.0
) -> Tensor:
    """Return the loss of stage 1: mean binary cross-entropy plus weighted scene-class affinity.

    Args:
        logits: [G, G, G].
        target: [G, G, G] of 0 and 1.
        affinity: Weight of :func:`scene_class_affinity`; 1 in the paper.
        positive_weight: Weight of occupied voxels in the cross-entropy; 1 in the paper.
    """
    weight = torch.tensor(positive_weight, device=logits.device)
    entropy = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)
    return entropy + affinity * scene_class_affinity(logits, target)


def edge_log_depth(predicted: Tensor, depth: Tensor, rgb: Tensor, mask: Tensor) -> Tensor:
    """Return the log-depth loss, weighted down where the image has edges.

    Args:
        predicted: [..., 1, H, W] rendered depth.
        depth: [..., 1, H, W] true z-depth.
        rgb: [..., 3, H, W] in [0, 1].
        mask: [..., 1, H, W] booleans, where depth is known.
    """
    error = (1 + (predicted - depth).abs()).log()
    along_x = (rgb[..., :, :-1] - rgb[..., :, 1:]).abs().mean(dim=-3, keepdim=True)
    along_y = (rgb[..., :-1, :] - rgb[..., 1:, :]).abs().mean(dim=-3, keepdim=True)
    x = masked_mean((-along_x).exp() * error[..., :, :-1], mask[..., :, :-1])
    y = masked_mean((-along_y).exp() * error[..., :-1, :], mask[..., :-1, :])
    return x + y


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the values where the mask is set; 0 where it is set nowhere."""
    return values[mask].sum() / mask.sum().clamp_min(1)


def total_variation(depth: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbours in [..., H, W], along both axes."""
    x = (depth[..., :, 1:] - depth[..., :, :-1]).abs().mean()
    y = (depth[..., 1:, :] - depth[..., :-1, :]).abs().mean()
    return x + y


def surface_distance(means: Tensor, opacities: Tensor, surface: Tensor) -> Tensor:
    """Return the Chamfer distance between centres of Gaussians and a surface, a scalar.

    The mean distance from the centres to the surface, weighed by opacity, plus that from the
    surface to solid centres. Neighbours are those of now: gradients draw each pair together.

    Args:
        means: [N, 3].
        opacities: [N].
        surface: [P, 3] points of it.
    """
    weights = opacities / opacities.sum().clamp_min(1e-6)
    distance = (weights * distances(means, surface)).sum()
    solid = means[opacities >= SOLID]
    return distance + distances(surface, solid).mean() if len(solid) else distance


def distances(points: Tensor, others: Tensor) -> Tensor:
    """Return the distance from each of [N, 3] points to the nearest of the others [M, 3]: [N]."""
    from scipy.spatial import KDTree

    near, far = (part.detach().float().cpu().numpy() for part in (others, points))
    index = torch.from_numpy(KDTree(near).query(far)[1]).to(others.device)
    return ((points - others[index]).square().sum(-1) + 1e-12).sqrt()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean SSIM of [T, C, H, W] images in [0, 1], with a Gaussian window of 11 px."""
    across, down = window_matrix(a.shape[-1], a), window_matrix(a.shape[-2], a)
    # Two matrix products: convolutions of single planes are many times slower on a CPU.
    blurred = down.T @ (torch.stack([a, b, a * a, b * b, a * b]) @ across)
    mean_a, mean_b, aa, bb, ab = blurred
    var_a, var_b, cov = aa - mean_a**2, bb - mean_b**2, ab - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + SSIM_C1) / (mean_a**2 + mean_b**2 + SSIM_C1)
    return (luminance * (2 * cov + SSIM_C2) / (var_a + var_b + SSIM_C2)).mean()


def window_matrix(size: int, like: Tensor) -> Tensor:
    """Return the matrix [size, size - 10] that blurs rows with SSIM's window, where it fits."""
    taps = torch.arange(SSIM_TAPS, dtype=like.dtype, device=like.device) - SSIM_TAPS // 2
    kernel = (-taps.square() / (2 * SSIM_SIGMA**2)).exp()
    matrix = like.new_zeros(size, size - SSIM_TAPS + 1)
    for offset, weight in enumerate(kernel / kernel.sum()):
        matrix.diagonal(-offset).copy_(weight)
    return matrix
