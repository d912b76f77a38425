"""The use cases that the command line and the web share."""

from pathlib import Path
from typing import BinaryIO

import torch
from PIL import Image

from adain.errors import ImageTooLargeError
from adain.images import ImageLimits, load_image, resize_image, resize_shorter_side, to_image
from adain.model import STYLE_LAYERS, StyleTransferModel
from adain.normalization import StyleStatistics
from gallery.errors import StylesError
from gallery.styles import Painting, ShippedStyles

STYLE_SIDE = 512
"""Paintings are measured at this shorter side in pixels, smaller ones as they are.

Strokes have a size in pixels, so one rule for all makes styles comparable.
"""

Source = Path | bytes | BinaryIO


def stylize_photo(
    model: StyleTransferModel,
    photo: Source,
    style: StyleStatistics,
    *,
    alpha: float = 1.0,
    max_side: int | None = None,
    limits: ImageLimits = ImageLimits(),
    name: str | None = None,
) -> Image.Image:
    """Repaint a photo in a style.

    Args:
        model: The network.
        photo: A picture file.
        style: From `measure_style` or `shipped_style`.
        alpha: Strength: 0 keeps the photo, 1 is the full style; values beyond extrapolate.
        max_side: Longest side of the result in pixels; None keeps the photo's size.
        limits: What photos to refuse.
        name: What error messages call the photo.

    Returns:
        An image of the photo's size, with its transparency.

    Raises:
        ImageError: If the photo cannot be read.
        ImageTooLargeError: If it exceeds the limits or the memory.
    """
    picture = load_image(photo, limits, name)
    if max_side is not None:
        picture = resize_image(picture, max_side)
    try:
        pixels = model.stylize(picture.pixels, style, alpha)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        raise ImageTooLargeError(
            f"{picture.name}: not enough memory for {picture.width}x{picture.height} pixels; "
            "give a smaller max-side"
        ) from error
    return to_image(pixels, picture.transparency)


def measure_style(
    model: StyleTransferModel, painting: Source, name: str | None = None
) -> StyleStatistics:
    """Measure the style of a painting.

    Raises:
        ImageError: If the painting cannot be read.
    """
    picture = resize_shorter_side(load_image(painting, name=name), STYLE_SIDE)
    return model.measure_style(picture.pixels)


def shipped_style(
    model: StyleTransferModel, styles: ShippedStyles, painting: Painting
) -> StyleStatistics:
    """Return the style of a shipped painting.

    Raises:
        StylesError: If another encoder measured the shipped styles.
    """
    if styles.encoder != model.fingerprint:
        raise StylesError(
            f"the shipped styles belong to encoder {styles.encoder}, the model has "
            f"{model.fingerprint}; give a picture of the painting as the style"
        )
    widths = {layer: model.encoder.widths[layer] for layer in STYLE_LAYERS}
    vector = torch.from_numpy(styles.vector(painting))
    return StyleStatistics.from_vector(vector, widths)


def _out_of_memory(error: Exception) -> bool:
    # The CPU's allocator raises a plain RuntimeError; only its text tells.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(
        error
    )
