from pathlib import Path

import numpy as np
from PIL import Image

from gallery.sheets import COLUMNS, MARGIN, SIDE, draw_sheet


def test_pictures_stand_in_rows_with_captions(tmp_path: Path) -> None:
    red = tmp_path / "red.png"
    Image.new("RGB", (40, 20), "red").save(red)
    sheet = draw_sheet([(str(red), "red"), *[(None, "a long name " * 20)] * COLUMNS])
    assert sheet.width == COLUMNS * (SIDE + MARGIN) + MARGIN
    pixels = np.asarray(sheet)
    rows, columns = np.nonzero((pixels == (255, 0, 0)).all(2))
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (20, 40)
    assert rows.max() == MARGIN + SIDE - 1  # It stands on its caption.
    under = pixels[MARGIN + SIDE + 1 : MARGIN + SIDE + 30]
    assert (under[:, MARGIN : MARGIN + 30] < 128).any()
    for i in range(COLUMNS):  # No caption runs into the next.
        assert (under[:, MARGIN + i * (SIDE + MARGIN) - 2] == 255).all()


def test_a_picture_that_cannot_be_read_leaves_its_frame(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    bad, gone = draw_sheet([(str(tmp_path / "bad.png"), "x")]), draw_sheet([(None, "x")])
    np.testing.assert_array_equal(np.asarray(bad), np.asarray(gone))
