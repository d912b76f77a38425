"""Paintings side by side on one picture, to see whether they look alike."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from adain.errors import AdainError
from adain.images import load_image, resize_image, to_image

COLUMNS = 4
SIDE = 320
MARGIN = 12
LINES = 2


def draw_sheet(entries: Sequence[tuple[str | None, str]]) -> Image.Image:
    """Return pictures in rows of `COLUMNS`, each with its caption under it.

    Args:
        entries: The picture and the caption of each, in ASCII since Pillow's own font has little
            else; a frame stands for a picture that is not here or cannot be read.
    """
    font = ImageFont.load_default(15)
    height = SIDE + MARGIN + LINES * 20
    columns = min(COLUMNS, len(entries))
    rows = -(-len(entries) // columns)
    size = (columns * (SIDE + MARGIN) + MARGIN, rows * height + MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for i, (path, caption) in enumerate(entries):
        left = MARGIN + i % columns * (SIDE + MARGIN)
        top = MARGIN + i // columns * height
        picture = _picture(path)
        if picture is None:
            draw.rectangle((left, top, left + SIDE, top + SIDE), outline="silver")
            draw.text((left + 8, top + 8), "picture not here", "grey", font)
        else:
            sheet.paste(picture, (left, top + SIDE - picture.height))
        lines = [_fit(line, font) for line in caption.splitlines()[:LINES]]
        draw.multiline_text((left, top + SIDE + 4), "\n".join(lines), "black", font)
    return sheet


def _picture(path: str | None) -> Image.Image | None:
    if path is None:
        return None
    try:
        return to_image(resize_image(load_image(path), SIDE).pixels)
    except AdainError:
        return None


def _fit(line: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    while font.getlength(line) > SIDE and len(line) > 1:
        line = line[:-2].rstrip() + "…"
    return line
