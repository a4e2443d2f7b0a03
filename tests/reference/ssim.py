"""SSIM by its definition: one window at a time, with the full two-dimensional weights."""

import numpy as np


def ssim(a, b):
    """Mean over pixels and channels of two pictures [H, W, 3] in [0, 1]; float64, data range 1."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    a, b = (np.pad(x.astype(np.float64), ((5, 5), (5, 5), (0, 0)), mode="reflect") for x in (a, b))
    values = []
    for channel in range(3):
        for row in range(a.shape[0] - 10):
            for column in range(a.shape[1] - 10):
                x = a[row : row + 11, column : column + 11, channel]
                y = b[row : row + 11, column : column + 11, channel]
                mx, my = (weights * x).sum(), (weights * y).sum()
                vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                cov = (weights * (x - mx) * (y - my)).sum()
                values.append(
                    (2 * mx * my + 0.01**2) * (2 * cov + 0.03**2)
                    / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2))
                )  # fmt: skip
    return float(np.mean(values))
