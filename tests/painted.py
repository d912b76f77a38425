"""Painted pictures for tests."""

from pathlib import Path
from typing import Any

from PIL import Image

from adain.imaging.reading import ImageLimits, load_image
from adain.network.model import StyleTransferModel
from adain.painting.stylize import stylize_picture
from adain.styles.statistics import StyleStatistics


def stylize_photo(
    model: StyleTransferModel,
    photo: Path | bytes,
    style: StyleStatistics,
    *,
    limits: ImageLimits = ImageLimits(),
    name: str | None = None,
    **options: Any,
) -> Image.Image:
    """Repaint a picture file."""
    return stylize_picture(model, load_image(photo, limits, name), style, **options).to_pil()
