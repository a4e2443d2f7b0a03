"""Float32 as text, half a million rows at a time: nine digits, which give the same float back.

Python writes a number in a microsecond or so, and a scene has ten million of them. Here digits are
looked up four at a time for thousands of numbers at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

PART = 1 << 13  # rows at a time: what comes between them and the text stays in the cache
DIGITS = 9  # significant ones, that tell every float32 from its neighbours
LOWEST = -45  # exponents of ten of float32, with those of its smallest numbers
TOKEN = np.dtype([("sign", "u1"), ("first", "u1"), ("point", "u1"), ("high", "<u4"),
                  ("low", "<u4"), ("exponent", "<u4")])  # fmt: skip


def _words(texts: list[str]) -> NDArray[np.uint32]:
    return np.frombuffer("".join(texts).encode(), "<u4").copy()


FOUR_DIGITS = _words([f"{number:04d}" for number in range(10_000)])
EXPONENTS = _words([f"e{exponent:+03d}" for exponent in range(LOWEST, 40)])
POWERS = 10.0 ** np.arange(DIGITS - 1 - 40, DIGITS - LOWEST + 1)


def rows(values: NDArray[np.float32]) -> Iterator[bytes]:
    """Yield the text of finite values: ``a,`` each of [N], ``(a,b,c),`` a row of [N, C].

    Every number takes 15 characters, such as ``-1.23456789e-05``; where there is no minus there is
    a space.
    """
    width = 1 if values.ndim == 1 else values.shape[1]
    table = values.reshape(len(values), width)
    opened, closed = ("", "") if values.ndim == 1 else ("(", ")")
    row = f"{opened}{','.join([' ' * TOKEN.itemsize] * width)}{closed},".encode()
    first = len(opened)
    for start in range(0, len(table), PART):
        part = table[start : start + PART]
        text = np.tile(np.frombuffer(row, np.uint8), (len(part), 1))
        tokens = np.ndarray(part.shape, TOKEN, text, first, (text.strides[0], TOKEN.itemsize + 1))
        _fill(tokens, part.astype(np.float64))
        yield text.tobytes()


def _fill(tokens: NDArray, values: NDArray[np.float64]) -> None:
    """Write each value into its token."""
    size = np.abs(values)
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log10(size))
    exponent = np.where(size > 0, exponent, 0).astype(np.int64)
    digits = np.rint(size * POWERS[40 - exponent])
    exponent += digits >= 10.0**DIGITS  # rounded up to one digit more
    digits = np.rint(size * POWERS[40 - exponent]).astype(np.uint32)
    first, rest = np.divmod(digits, np.uint32(10**8))
    high, low = np.divmod(rest, np.uint32(10**4))
    tokens["sign"] = np.where(values < 0, ord("-"), ord(" "))
    tokens["first"] = first + ord("0")
    tokens["point"] = ord(".")
    tokens["high"] = FOUR_DIGITS[high]
    tokens["low"] = FOUR_DIGITS[low]
    tokens["exponent"] = EXPONENTS[exponent - LOWEST]
