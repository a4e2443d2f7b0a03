from types import SimpleNamespace

import numpy as np

from geolrm.bench.quality.sheets import LABEL, TILE, Worst, make_sheet


def test_rows_are_inputs_predictions_truths_and_errors():
    size = (TILE, TILE, 3)
    truths = [np.full(size, 0.5, np.float32), np.zeros(size, np.float32)]
    drawn = [np.full(size, 0.5, np.float32), np.full(size, 1 / 3, np.float32)]
    inputs = [np.full((TILE // 2, TILE // 4, 3), 0.25, np.float32)]
    sheet = make_sheet(SimpleNamespace(inputs=inputs, predictions=drawn, truths=truths))
    step = TILE + 4
    assert sheet.shape == (4 * step + 4, 2 * step + 4, 3)

    def tile(row, column):
        top, left = 4 + row * step, 4 + column * step
        return sheet[top : top + TILE, left : left + TILE]

    assert (tile(0, 1) == 255).all()  # there is one input
    middle = tile(0, 0)[TILE // 4 : -TILE // 4, 3 * TILE // 8 : -3 * TILE // 8]
    assert (middle == 64).all() and (tile(0, 0)[0] == 255).all()
    assert (tile(1, 0) == 128).all() and (tile(2, 1) == 0).all()
    assert (tile(3, 0) == 255).all() and tile(3, 1).max() <= 1  # no error; a third is black


def test_the_worst_objects_come_first_on_a_sheet_of_their_own():
    worst = Worst(count=2)
    truth = np.zeros((8, 8, 3), np.float32)
    for views, errors in ((6, (0.1, 0.5, 0.3)), (4, (0.2,))):
        for index, error in enumerate(errors):
            shown = SimpleNamespace(
                name=f"o{index}", views=views, predictions=[truth + np.float32(error)],
                truths=[truth],
            )  # fmt: skip
            worst.add(shown, np.full((3, 50, 3), index, np.uint8))
    sheets = worst.sheets()
    label = [255] * LABEL
    assert sheets[6][:, 0, 0].tolist() == [*label, 1, 1, 1, *label, 2, 2, 2]
    assert sheets[4].shape == (LABEL + 3, 50, 3) and set(sheets) == {4, 6}


def test_the_worst_objects_are_named():
    truth = np.zeros((8, 8, 3), np.float32)

    def label(name):
        worst = Worst()
        shown = SimpleNamespace(name=name, views=6, predictions=[truth], truths=[truth])
        worst.add(shown, np.zeros((3, 80, 3), np.uint8))
        return worst.sheets()[6][:LABEL]

    lion, ball, line = label("lion"), label("ball"), label("lion\nball")
    assert lion.min() < 100 and (lion[-1] == 255).all()  # the letters fit
    assert not np.array_equal(lion, ball) and not np.array_equal(lion, line)
