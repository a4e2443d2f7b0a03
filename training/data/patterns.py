"""Procedural textures: what coats procedural shapes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SIZE = 256  # texels along each side

Image = NDArray[np.float32]  # [SIZE, SIZE, 3] in [0, 1]


def pattern(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint a texture [S, S, 3] in sRGB: a pattern, sometimes with patches, sometimes grain."""
    paint = PATTERNS[int(rng.integers(len(PATTERNS)))]
    image = paint(rng)
    if rng.random() < 0.25:
        image = _patched(image, rng)
    if rng.random() < 0.5:
        image = image * (1 + rng.uniform(0.02, 0.15) * _noise(rng, first=3)[..., None])
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def color(rng: np.random.Generator) -> NDArray[np.float32]:
    """Choose a colour [3] in sRGB; grey and muted ones are as likely as saturated ones."""
    hue, value = rng.random(), rng.uniform(0.05, 1)
    saturation = rng.random() * rng.choice([0.1, 0.6, 1.0])
    ramp = np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1  # HSV's three tents
    return (value * (1 - saturation * (1 - np.clip(ramp, 0, 1)))).astype(np.float32)


def _solid(rng: np.random.Generator) -> Image:
    return np.broadcast_to(color(rng), (SIZE, SIZE, 3)).astype(np.float32)


def _blend(share: NDArray, rng: np.random.Generator) -> Image:
    """Blend two random colours by share [S, S] in [0, 1]."""
    share = share[..., None].astype(np.float32)
    return color(rng) * (1 - share) + color(rng) * share


def _wave(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a phase [S, S] in periods; whole ones along both sides, so that it repeats."""
    columns, rows = (int(n) for n in rng.integers(-8, 9, 2))
    if columns == rows == 0:
        columns = 1
    places = (np.arange(SIZE) + 0.5) / SIZE
    return places * columns + (places * rows)[:, None] + rng.random()


def _stripes(rng: np.random.Generator) -> Image:
    return _blend((_wave(rng) % 1 < rng.uniform(0.2, 0.8)).astype(float), rng)


def _gradient(rng: np.random.Generator) -> Image:
    return _blend(np.abs(2 * ((_wave(rng) / 4) % 1) - 1), rng)


def _checks(rng: np.random.Generator) -> Image:
    columns, rows = (int(n) for n in rng.integers(1, 9, 2))
    places = np.arange(SIZE) / SIZE
    odd = (np.floor(places * 2 * columns) + np.floor(places * 2 * rows)[:, None]) % 2
    return _blend(odd, rng)


def _dots(rng: np.random.Generator) -> Image:
    count = int(rng.integers(2, 9))
    places = ((np.arange(SIZE) + 0.5) * count / SIZE) % 1 - 0.5
    inside = places**2 + (places**2)[:, None] < rng.uniform(0.1, 0.45) ** 2
    return _blend(inside.astype(float), rng)


def _clouds(rng: np.random.Generator) -> Image:
    return _blend(np.clip(0.5 + 0.6 * _noise(rng, first=0), 0, 1), rng)


def _camouflage(rng: np.random.Generator) -> Image:
    noise = _noise(rng, first=1)
    colors = np.stack([color(rng) for _ in range(4)])
    return colors[np.digitize(noise, np.quantile(noise, [0.25, 0.5, 0.75]))]


def _patchwork(rng: np.random.Generator) -> Image:
    return _patched(_solid(rng), rng, count=int(rng.integers(5, 40)))


def _patched(image: Image, rng: np.random.Generator, count: int = 6) -> Image:
    """Paint rectangles over an image, as labels and prints have them."""
    image = image.copy()
    for _ in range(count):
        x, y = (int(n) for n in rng.integers(0, SIZE, 2))
        width, height = (int(n) for n in 2 ** rng.uniform(2, 7, 2))
        image[y : y + height, x : x + width] = color(rng)
    return image


def _noise(rng: np.random.Generator, first: int) -> NDArray[np.float32]:
    """Make value noise [S, S] that repeats, about in [-1, 1].

    ``first`` is log2 of half the coarsest grid's side.
    """
    total = np.zeros((SIZE, SIZE), np.float32)
    weight, norm = 1.0, 0.0
    for octave in range(first + 1, min(first + 5, 8)):
        grid = rng.uniform(-1, 1, (2**octave, 2**octave)).astype(np.float32)
        total += weight * _enlarge(_enlarge(grid).T).T
        norm += weight**2
        weight *= 0.6
    return np.asarray(total * (1.5 / norm**0.5), np.float32)


def _enlarge(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interpolate rows linearly to SIZE of them, round the end back to the start."""
    places = (np.arange(SIZE) + 0.5) * len(grid) / SIZE
    index = places.astype(int)
    share = (places - index).astype(np.float32)[:, None]
    rows = grid[index] * (1 - share) + grid[(index + 1) % len(grid)] * share
    return np.asarray(rows, np.float32)


PATTERNS: tuple[Callable[[np.random.Generator], Image], ...] = (
    _solid,
    _stripes,
    _gradient,
    _checks,
    _dots,
    _clouds,
    _camouflage,
    _patchwork,
)
