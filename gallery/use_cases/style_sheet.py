"""A photo in many styles on one captioned sheet, so that one can choose by looking."""

from collections.abc import Callable, Sequence

from PIL import Image

from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.imaging.resizing import resize_image
from adain.painting.stylize import stylize_picture
from gallery.database.gallery import Gallery
from gallery.database.paintings import Painting
from gallery.use_cases.sheets import Cell, Section, make_sheet
from gallery.use_cases.styles import ResolvedStyle, stored_style

CELL = 448
"""Longest side of a picture on the sheet, in pixels."""

COLUMNS = 4


def draw_style_sheet(
    model: Model,
    gallery: Gallery,
    photo: Picture,
    paintings: Sequence[Painting],
    others: Sequence[ResolvedStyle] = (),
    on_style: Callable[[], None] = lambda: None,
) -> Image.Image:
    """Paint a photo in each style, and put the results on a sheet.

    Args:
        model: The network.
        gallery: Where the paintings are.
        photo: The photo.
        paintings: Of the gallery.
        others: Styles beside them.
        on_style: Called after each.
    """
    # Strokes go by the sheet's size, not by the photo's.
    small = resize_image(photo, min(CELL, max(photo.width, photo.height)))
    cells = [Cell(small.to_pil(), ("photo",))]

    def paint(style: ResolvedStyle, lines: tuple[str, ...]) -> None:
        painted = stylize_picture(model, small, style.statistics)
        cells.append(Cell(painted.to_pil(), lines))
        on_style()

    for each in paintings:
        caption = ", ".join(filter(None, (each.title, each.artist)))
        paint(stored_style(model, gallery, each), (each.slug, caption))
    for style in others:
        paint(style, (style.slug,))
    return make_sheet([Section(photo.name, cells, COLUMNS)], COLUMNS * (CELL + 24))
