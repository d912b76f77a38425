"""The use cases that the command line and the web share."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from adain.errors import ImageTooLargeError
from adain.images import ImageLimits, load_image, resize_image, resize_shorter_side, to_image
from adain.model import STYLE_LAYERS, StyleTransferModel
from adain.normalization import StyleStatistics, interpolate_styles, pool_styles
from gallery.config import STYLE_SIDE
from gallery.errors import StylesError
from gallery.paintings import Painting
from gallery.queries import Group
from gallery.references import STANDARD, Reference, file_slug, find_target
from gallery.store import Gallery

Source = Path | bytes | BinaryIO

Measure = Callable[[StyleTransferModel], StyleStatistics]
"""What gives the statistics of a style by the encoder of a model."""

MAX_SLUG = 120
"""Characters of a style's slug; a file name holds 255 bytes."""


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
        style: From `measure_style` or `stored_style`.
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


def stored_style(
    model: StyleTransferModel, gallery: Gallery, target: Painting | Group
) -> StyleStatistics:
    """Return the style of a painting of the gallery, or of all paintings of an artist or style.

    What was not measured by this model's encoder yet is measured now, where the picture is at
    hand, and kept.

    Raises:
        StylesError: If it was not, and there is no picture.
        ImageError: If the picture cannot be read.
    """
    if isinstance(target, Group):
        vector = gallery.pooled(target, model.fingerprint, partial(pool_vectors, model))
        return _unpack(model, vector)
    stored = gallery.vector(target, model.fingerprint)
    if stored is not None:
        return _unpack(model, stored)
    if target.path is None:
        raise StylesError(
            f"{target.slug}: not measured by encoder {model.fingerprint}, and its picture is not "
            "here; ingest it, or give a picture of it as the style"
        )
    style = measure_style(model, Path(target.path))
    gallery.keep_vector(target, model.fingerprint, style.to_vector().cpu().numpy())
    return style


def find_style(
    references: Sequence[Reference],
    open_gallery: Callable[[], Gallery],
    standard_input: BinaryIO | None = None,
) -> tuple[str, Measure]:
    """Find what references stand for, before any network is loaded.

    Args:
        references: The parts of the style.
        open_gallery: Called once, when a part is not a file.
        standard_input: What the reference `-` reads.

    Returns:
        A slug for the names of results, and what measures the style or looks it up.

    Raises:
        StyleNotFound: If a part is neither a file nor in the gallery.
        DatabaseError: If the gallery cannot be read.
    """
    parts: list[tuple[str, Measure]] = []
    gallery = None
    for reference in references:
        if reference.name == STANDARD and standard_input is not None:
            measure = partial(measure_style, painting=standard_input, name="standard input")
            parts.append(("stdin", measure))
        elif reference.is_file:
            painting = Path(reference.name)
            parts.append((file_slug(reference), partial(measure_style, painting=painting)))
        else:
            gallery = gallery or open_gallery()
            target = find_target(gallery, reference.name)
            parts.append((target.slug, partial(stored_style, gallery=gallery, target=target)))
    slug = "+".join(slug for slug, _ in parts)[:MAX_SLUG]
    if len(parts) == 1:
        return slug, parts[0][1]

    def mix(model: StyleTransferModel) -> StyleStatistics:
        styles = [measure(model) for _, measure in parts]
        return interpolate_styles(styles, [reference.weight for reference in references])

    return slug, mix


def pool_vectors(model: StyleTransferModel, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the style vector `(1, D)` of many paintings, `(N, D)`, together."""
    return pool_styles(_unpack(model, vectors)).to_vector().numpy()


def _unpack(model: StyleTransferModel, vectors: NDArray[np.float32]) -> StyleStatistics:
    widths = {layer: model.encoder.widths[layer] for layer in STYLE_LAYERS}
    return StyleStatistics.from_vector(torch.from_numpy(vectors), widths)


def _out_of_memory(error: Exception) -> bool:
    # The CPU's allocator raises a plain RuntimeError; only its text tells.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(
        error
    )
