import numpy as np
from PIL import Image

from gallery.use_cases.sheets import Cell, Section, make_sheet


def test_captions_with_accents_have_no_boxes() -> None:
    def sheet(words: str) -> Image.Image:
        square = Image.new("RGB", (10, 10))
        return make_sheet([Section(words, [Cell(square, (words,))], columns=1)], width=300)

    pairs = (("Café d'Été: Čapek, Ōhashi", "Cafe d'Ete: Capek, Ohashi"), ("Ночь", "Noch'"))
    for accented, plain in pairs:
        np.testing.assert_array_equal(sheet(accented), sheet(plain))
