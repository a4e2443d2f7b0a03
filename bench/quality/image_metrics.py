"""PSNR and SSIM of images in [0, 1]."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2  # of a data range of 1
LEAST_ERROR = 1e-10  # equal images score 100 dB, so that every figure is finite


def psnr(squared_error: float) -> float:
    """Return the decibels of a mean squared error of values in [0, 1]; at most 100."""
    return -10 * math.log10(max(squared_error, LEAST_ERROR))


def pooled_psnr(predictions: Sequence[NDArray], truths: Sequence[NDArray]) -> float:
    """Return the PSNR of the one mean squared error over all values of all images.

    Args:
        predictions: [H, W, 3] each, in [0, 1].
        truths: As many of the same sizes.
    """
    total, count = 0.0, 0
    for prediction, truth in zip(predictions, truths, strict=True):
        difference = prediction.astype(np.float64) - truth
        total += float((difference**2).sum())
        count += difference.size
    return psnr(total / count)


class StructuralSimilarity:
    """Mean SSIM against one true image, whose windows are computed once.

    A Gaussian window of 11 x 11 taps and sigma 1.5, k1 = 0.01, k2 = 0.03, a data range of 1; the
    image is reflected at its borders, and the mean is over all pixels and channels.

    Args:
        truth: [H, W, 3] in [0, 1], at least 11 x 11 pixels.
    """

    def __init__(self, truth: NDArray):
        self._truth = _planes(truth)
        self._mean = _smooth(self._truth)
        self._variance = (_smooth(self._truth**2) - self._mean**2).clip(0)

    def __call__(self, image: NDArray) -> float:
        """Return the SSIM of an image [H, W, 3] in [0, 1]."""
        planes = _planes(image)
        mean = _smooth(planes)
        variance = (_smooth(planes**2) - mean**2).clip(0)
        covariance = _smooth(planes * self._truth) - mean * self._mean
        likeness = (2 * mean * self._mean + C1) * (2 * covariance + C2)
        scale = (mean**2 + self._mean**2 + C1) * (variance + self._variance + C2)
        return float((likeness / scale).mean())


def ssim(image: NDArray, truth: NDArray) -> float:
    """Return the SSIM of two images [H, W, 3] in [0, 1]."""
    return StructuralSimilarity(truth)(image)


def window() -> NDArray[np.float64]:
    """Return the 11 taps of the separable Gaussian window; their sum is 1."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    taps = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    return taps / taps.sum()


def _planes(image: NDArray) -> NDArray[np.float64]:
    """Pad [H, W, 3] to float64 [3, H + 10, W + 10], reflected at the borders."""
    half = WINDOW // 2
    planes = image.transpose(2, 0, 1).astype(np.float64)
    return np.pad(planes, ((0, 0), (half, half), (half, half)), mode="reflect")


def _smooth(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return windowed means [3, H, W] of [3, H + 10, W + 10]: by rows, then by columns."""
    return _smooth_rows(_smooth_rows(planes).swapaxes(1, 2)).swapaxes(1, 2)


def _smooth_rows(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return windowed means along the second axis: [3, H + 10, W] to [3, H, W]."""
    height = planes.shape[1] - WINDOW + 1
    smooth = np.zeros((len(planes), height, planes.shape[2]))
    for offset, tap in enumerate(window()):
        smooth += tap * planes[:, offset : offset + height]
    return smooth
