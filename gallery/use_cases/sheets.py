"""Sheets: pictures with captions, in rows under titles, drawn with Pillow's own font.

That font has letters of ASCII alone, so captions are transliterated: "Cafe" stands for "Café".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from anyascii import anyascii
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

MARGIN = 12

TITLE_SIZE, TEXT_SIZE = 20, 14
"""Heights of letters in pixels."""

LINE = 18
"""Pixels from one line of a caption to the next."""

TITLE_LINE = 34

MAX_ENLARGEMENT = 10.0

SQUARES = 3.0
"""Beyond this enlargement pixels are shown as squares."""

RAMP = ("#0b0724", "#4a1570", "#a52c60", "#e75f2d", "#f9b21c", "#fcf7a8")
"""Dark to bright for 0 to 1; the brightness rises evenly, so it reads in grey, too."""


@dataclass(frozen=True)
class Cell:
    """A picture and the lines under it."""

    image: Image.Image
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """Cells under a title.

    Attributes:
        title: What they show.
        cells: From left to right, row after row.
        columns: How many a row has.
    """

    title: str
    cells: Sequence[Cell]
    columns: int


def make_sheet(sections: Sequence[Section], width: int = 1400) -> Image.Image:
    """Return sections one under the other.

    The longer side of each picture becomes as long as its column is wide, at most
    `MAX_ENLARGEMENT` times what it was. Lines too long for their column end in dots.
    """
    parts = [_draw_section(section, width) for section in sections]
    sheet = Image.new("RGB", (width, sum(part.height for part in parts) + MARGIN), "white")
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def colorize(values: NDArray[np.float32]) -> Image.Image:
    """Return `(H, W)` in [0, 1] as colours of `RAMP`."""
    stops = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in RAMP])
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(values, places, stops[:, channel]) for channel in range(3)]
    return Image.fromarray(np.rint(np.stack(channels, -1)).astype(np.uint8))


def _draw_section(section: Section, width: int) -> Image.Image:
    step = (width - MARGIN) // section.columns
    pictures = [_fit(cell.image, step - MARGIN) for cell in section.cells]
    text = max((LINE * len(cell.lines) for cell in section.cells), default=0)
    rows = [range(i, i + section.columns) for i in range(0, len(pictures), section.columns)]
    heights = [max(picture.height for picture in pictures[row.start : row.stop]) for row in rows]
    height = TITLE_LINE + sum(heights) + len(rows) * (text + MARGIN)
    part = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(part)
    _write(draw, (MARGIN, 7), section.title, TITLE_SIZE, width - 2 * MARGIN)
    top = TITLE_LINE
    for row, tallest in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            if i >= len(pictures):
                break
            left = MARGIN + column * step
            part.paste(pictures[i], (left, top))
            for line, words in enumerate(section.cells[i].lines):
                place = (left, top + tallest + 2 + line * LINE)
                _write(draw, place, words, TEXT_SIZE, step - MARGIN)
        top += tallest + text + MARGIN
    return part


def _fit(image: Image.Image, side: int) -> Image.Image:
    factor = min(MAX_ENLARGEMENT, side / max(image.size))
    size = tuple(max(1, round(length * factor)) for length in image.size)
    # Positions of a network are squares, not a blur.
    kind = Image.Resampling.NEAREST if factor > SQUARES else Image.Resampling.LANCZOS
    return image.convert("RGB").resize((size[0], size[1]), kind)


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], words: str, size: int, width: int
) -> None:
    font = ImageFont.load_default(size)
    words = "".join(letter if letter.isprintable() else " " for letter in anyascii(words))
    if draw.textlength(words, font) > width:
        while words and draw.textlength(f"{words}...", font) > width:
            words = words[:-1]
        words = f"{words}..."
    draw.text(place, words, "black", font)
