import numpy as np

from geolrm.engine.captures.sheet import PAPER, Sheet

RED = (255, 0, 0)


def test_a_page_starts_white_and_has_its_size():
    page = Sheet(30, 20).finish()
    assert page.shape == (20, 30, 3) and page.dtype == np.uint8 and (page == 255).all()


def test_shapes_lie_where_they_are_told():
    sheet = Sheet(40, 40)
    sheet.polygon([[10, 10], [20, 10], [20, 20], [10, 20]], RED)
    sheet.dot((30, 30), 3, RED)
    sheet.line([[0, 35], [39, 35]], RED, 2)
    page = sheet.finish()
    assert (page[12:18, 12:18] == RED).all() and (page[5, 5] == 255).all()
    assert (page[30, 30] == RED).all() and (page[35, 5] == RED).all()


def test_what_lies_far_outside_is_no_error():
    sheet = Sheet(20, 20)
    sheet.dot((1e9, -1e9), 5, RED)
    sheet.line([[-1e12, 10], [1e12, 10]], RED, 2)
    assert (sheet.finish()[10, 10] == RED).all()


def test_a_panel_has_round_corners_and_text_is_seen():
    sheet = Sheet(80, 60)
    sheet.panel((0, 0), (80, 60))
    sheet.text((10, 10), "view \u4e2d", 12, RED)  # a letter that the font lacks
    page = sheet.finish()
    assert (page[0, 0] == 255).all() and (page[50, 70] == PAPER).all()
    assert (page[8:26, 8:60, 1] < 128).any()
