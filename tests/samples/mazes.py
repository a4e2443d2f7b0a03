"""Backgrounds that wind through an image."""

import numpy as np


def spiral(size):
    """White corridors of one pixel that wind inwards: a corner for every pass of filling."""
    image = np.zeros((size, size), bool)
    image[0] = True
    row, column, length = 0, size - 1, size - 1
    for turn in range(2 * size):
        down, along = [(1, 0), (0, -1), (-1, 0), (0, 1)][turn % 4]
        if turn and turn % 2 == 0:
            length -= 2
        if length < 1:
            break
        rows = sorted((row, row + down * length))
        columns = sorted((column, column + along * length))
        image[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = True
        row, column = row + down * length, column + along * length
    return image
