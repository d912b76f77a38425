from pathlib import Path

import numpy as np
from PIL import Image

from gallery.sheets import COLUMNS, draw_files


def test_files_stand_in_rows_over_their_lines(tmp_path: Path) -> None:
    red = tmp_path / "red.png"
    Image.new("RGB", (40, 20), "red").save(red)
    one = draw_files([(str(red), ["red"])])
    assert (np.asarray(one) == (255, 0, 0)).all(2).sum() > 40 * 20
    two = draw_files([(str(red), ["a long name " * 20])] * (COLUMNS + 1))
    assert two.width == one.width and two.height > 1.5 * one.height


def test_grey_stands_for_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    bad, gone = draw_files([(str(tmp_path / "bad.png"), "x")]), draw_files([(None, "x")])
    np.testing.assert_array_equal(np.asarray(bad), np.asarray(gone))
