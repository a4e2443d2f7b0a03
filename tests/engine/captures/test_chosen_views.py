import json
import shutil

import numpy as np
import pytest

from geolrm import InputError, load_capture
from geolrm.engine.captures.chosen_views import choose_views, parse_views, read_for_run
from geolrm.examples import capture_path


def test_views_are_a_number_or_frames():
    assert parse_views("6", 38) == 6
    assert parse_views("0,4,8", 38) == [0, 4, 8] and parse_views("3,", 38) == [3]
    with pytest.raises(InputError, match=r"^--views is 39; this capture has 38 frames, so give 1 "):
        parse_views("39", 38)


def test_faulty_views_are_not_chosen():
    shoe = load_capture(capture_path("shoe"))
    assert choose_views(shoe, [0, 1, 2], {1}) == [0, 2]
    chosen = choose_views(shoe, 6, {0, 5})
    assert len(chosen) == 6 and not {0, 5} & {*chosen}


def test_a_capture_is_read_as_a_run_reads_it(tmp_path):
    folder = tmp_path / "banana"
    shutil.copytree(capture_path("banana"), folder)
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"] = content["frames"][:5]
    (folder / "transforms.json").write_text(json.dumps(content))
    found = read_for_run(folder)
    assert found.faulty == {} and found.left_out == []
    indices, used = found.choose(None, 3)
    assert len(indices) == len(used) == 3
    assert found.choose("1,4", 3)[0] == [1, 4]
    np.testing.assert_array_equal(used.images[1], found.capture.images[indices[1]])
    assert found.choose(None, 20)[0] == [*range(5)]
