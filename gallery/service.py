"""The use cases that the command line and the web share."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import starmap
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from adain.color import ColorStatistics, color_map, measure_colors
from adain.device import is_out_of_memory, release_memory
from adain.errors import ImageTooLargeError
from adain.filters import SHARPEN_REACH, SMOOTH_REACH, GuidedMap, sharpen, smooth
from adain.images import (
    ImageLimits,
    Picture,
    RowReader,
    gather_rows,
    load_image,
    resize_image,
    resize_shorter_side,
    resize_to,
    result_type,
    row_ranges,
    scale_image,
    scaled_size,
    to_image,
    to_levels,
    to_unit,
)
from adain.model import STYLE_LAYERS, StyleTransferModel
from adain.normalization import StyleField, StyleStatistics, interpolate_styles, pool_styles
from adain.strokes import Enlarged, working_side
from adain.tiling import stylize_rows
from gallery.config import STYLE_SIDE, Controls
from gallery.errors import StylesError
from gallery.masks import region_weights, share_bytes, strength_map
from gallery.paintings import Painting
from gallery.queries import Group
from gallery.references import STANDARD, Reference, file_slug, find_target
from gallery.store import Gallery

Source = Path | bytes | BinaryIO

Measure = Callable[[StyleTransferModel], StyleStatistics]
"""What gives the statistics of a style by the encoder of a model."""

Painter = Callable[[Picture, StyleStatistics | StyleField, float], Iterator[Tensor]]
"""What repaints a picture in a style to a degree: the rows of the result, strip by strip."""

MAX_SLUG = 120
"""Characters of a style's slug; a file name holds 255 bytes."""

UNTOUCHED = 0.1
"""Strength below which the photo itself fades in, to be whole at 0."""

STRIP_PIXELS = 2**18
"""Pixels that are changed at a time after that."""

WINDOW_SHARE = 1 / 32
"""Radius of the photorealistic filter against the longer side of the picture."""

WINDOW_EPS = 1e-4
"""Variance below which it takes an area for flat: 1 % of contrast, about the noise of a photo."""


def stylize_photo(
    model: StyleTransferModel,
    photo: Source,
    style: StyleStatistics,
    *,
    alpha: float = 1.0,
    max_side: int | None = None,
    controls: Controls = Controls(),
    memory: int | None = None,
    limits: ImageLimits = ImageLimits(),
    name: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> Image.Image:
    """Repaint a photo in a style; see `stylize_picture`.

    Args:
        model: The network.
        photo: A picture file.
        style: From `measure_style` or `stored_style`; one for each mask of `controls`.
        alpha: Strength: 0 keeps the photo, 1 is the full style; values beyond extrapolate.
        max_side: Longest side of the result in pixels; None keeps the photo's size.
        controls: How to repaint it.
        memory: As for `stylize_picture`.
        limits: What photos to refuse.
        name: What error messages call the photo.
        progress: As for `stylize_picture`.

    Returns:
        An image of the photo's size, with its transparency.

    Raises:
        ImageError: If the photo or a mask cannot be read.
        ImageTooLargeError: If it exceeds the limits or the memory.
        MaskError: If a mask does not fit.
    """
    picture = load_image(photo, limits, name)
    result = stylize_picture(
        model,
        picture,
        style,
        alpha=alpha,
        max_side=max_side,
        controls=controls,
        memory=memory,
        progress=progress,
    )
    return to_image(result)


def stylize_picture(
    model: StyleTransferModel,
    photo: Picture,
    style: StyleStatistics,
    *,
    alpha: float = 1.0,
    max_side: int | None = None,
    controls: Controls = Controls(),
    memory: int | None = None,
    progress: Callable[[float], None] | None = None,
    painter: Painter | None = None,
) -> Picture:
    """Repaint a loaded photo in a style.

    Preview and print look alike: the size at which the network sees the photo depends on the
    photo, not on `max_side` (see `adain.strokes`).

    Args:
        model: The network.
        photo: From `load_image`.
        style: One style, or one for each mask of `controls`.
        alpha: Strength: 0 keeps the photo, 1 is the full style; values beyond extrapolate.
        max_side: Longest side of the result in pixels; None keeps the photo's size.
        controls: How to repaint it.
        memory: Bytes that may be used beside the network and the photo; by default up to half of
            what is free. The result does not depend on it.
        progress: Told the share of the work that is done, in [0, 1].
        painter: What repaints the photo at its working size; by default the network, in one
            pass, which alone heeds `memory` and `progress`.

    Returns:
        A picture of the photo's size, with its transparency, name and facts.

    Raises:
        ImageError: If a mask cannot be read.
        ImageTooLargeError: If the memory does not suffice.
        MaskError: If a mask does not fit.
    """
    photo_side = max(photo.width, photo.height)
    side = min(photo_side, max_side or photo_side)
    try:
        working = scale_image(photo, working_side(photo_side, side, controls.stroke))
        if memory is not None:
            size = (working.height, working.width)
            maps = len(style.to_vector()) * bool(controls.masks) + (controls.strength is not None)
            pixel = 3 * result_type(*size).itemsize + maps * share_bytes(size)
            memory -= pixel * working.height * working.width
        work = painter or partial(stylize_rows, model, memory=memory, progress=progress)
        styles = style.to("cpu").split()
        painted = _repaint(work, photo, working, styles, alpha, controls)
        if side > max(working.width, working.height):
            result = resize_image(photo, side)
            change = to_unit(painted) - working.pixels
            return replace(result, change=Enlarged(change, result.height, result.width))
        return resize_to(replace(working, levels=painted), scaled_size(photo, side))
    except ImageTooLargeError as error:
        raise ImageTooLargeError(f"{photo.name}: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ImageTooLargeError(
            f"{photo.name}: not enough memory for {photo.width}x{photo.height} pixels; "
            "give a smaller max-side"
        ) from error


def _repaint(
    work: Painter,
    photo: Picture,
    working: Picture,
    styles: Sequence[StyleStatistics],
    alpha: float,
    controls: Controls,
) -> Tensor:
    """Return `working`, the photo at another size, stylized: the network and what follows it.

    Args:
        work: Runs the network on a picture, for a style and a strength.
        photo: The photo.
        working: What is stylized.
        styles: One, or one for each region.
        alpha: Strength.
        controls: How to repaint it.
    """
    size = (working.height, working.width)
    field = _style_field(photo, size, styles, controls)
    if working.is_large:
        release_memory()  # What decoding and masks have freed.
    painted = gather_rows(work(working, styles[0] if field is None else field, alpha), *size)
    extent = None if field is None else field.extent
    if working.is_large:
        release_memory()  # What the network has freed is in many small pieces.
    steps, margin = _finish(working, painted, extent, controls)
    faded = extent is not None or abs(alpha) < UNTOUCHED
    before = painted[:, :, :0]
    for top, bottom in row_ranges(*size, max(STRIP_PIXELS, 4 * margin * size[1])):
        if not steps and not faded:
            break
        first, last = max(0, top - margin), min(bottom + margin, size[0])
        original = working.rows(first, last)
        strip = to_unit(torch.cat((before, painted[:, :, top:last]), dim=2))
        before = painted[:, :, max(0, bottom - margin) : bottom].clone()
        for step in steps:
            strip = step(first, original, strip)
        original, strip = (each[:, :, top - first : bottom - first] for each in (original, strip))
        if faded:
            # The network gives a photo back nearly, not exactly.
            applied = abs(alpha) * (torch.ones(1) if extent is None else extent(top, bottom))
            strip = torch.lerp(original, strip, (applied / UNTOUCHED).clamp_max(1))
        painted[:, :, top:bottom] = to_levels(strip, painted.dtype)
    return painted


def _style_field(
    photo: Picture,
    size: tuple[int, int],
    styles: Sequence[StyleStatistics],
    controls: Controls,
) -> StyleField | None:
    """Return what holds where at a size of the photo; None if one style holds everywhere."""
    strength, regions = None, None
    if controls.strength is not None:
        strength = strength_map(load_image(controls.strength), photo, size)[0, 0]
    if controls.masks:
        masks = [load_image(mask) for mask in controls.masks]
        feather = controls.feather * size[1] / photo.width
        regions = region_weights(masks, len(styles), photo, size, feather)[:, 0]
    if strength is None and regions is None:
        return None
    return StyleField(tuple(styles), regions, strength)


Step = Callable[[int, Tensor, Tensor], Tensor]
"""What takes the number of a row, and from it on those of the photo and of the result, and returns
the new result."""


def _finish(
    photo: Picture,
    painted: Tensor,
    extent: RowReader | None,
    controls: Controls,
) -> tuple[list[Step], int]:
    """Return what works on the pixels of photo and result, and how many rows away that looks.

    Only what is visible, and painted by `extent`, counts for the colours.
    """
    steps: list[Step] = []
    margin = 0

    def result(top: int, bottom: int) -> Tensor:
        return to_unit(painted[:, :, top:bottom])

    rows: RowReader = result
    if controls.preserve_color != "none":
        colors = [_measure(photo, each, extent) for each in (photo.rows, result)]
        recolor = color_map(controls.preserve_color, *colors)
        steps.append(lambda _, photo, painted: recolor(photo, painted))

        def recolored(top: int, bottom: int) -> Tensor:
            return recolor(photo.rows(top, bottom), result(top, bottom))

        rows = recolored
    if controls.photorealistic:
        size = (photo.height, photo.width)
        radius = max(1, round(max(size) * WINDOW_SHARE))
        edges = GuidedMap.measure(photo.rows, rows, *size, radius, WINDOW_EPS)
        steps.append(lambda top, photo, _: edges(top, photo).clamp_(0, 1))
    if controls.smooth:
        steps.append(lambda *strips: smooth(strips[-1], controls.smooth))
        margin += SMOOTH_REACH
    if controls.sharpen:
        steps.append(lambda *strips: sharpen(strips[-1], controls.sharpen))
        margin += SHARPEN_REACH
    return steps, margin


def finish_pixels(photo: Picture, painted: Tensor, controls: Controls) -> Tensor:
    """Apply what works on the pixels of a photo and its repainting: colours, edges, grain.

    Args:
        photo: At the size of the result.
        painted: Shape `(1, 3, H, W)`, in [0, 1].
        controls: How; what says where is not looked at.
    """
    original = photo.pixels.to(painted)
    for step in _finish(replace(photo, levels=original), painted, None, controls)[0]:
        painted = step(0, original, painted)
    return painted


def _measure(photo: Picture, rows: RowReader, extent: RowReader | None) -> ColorStatistics:
    """Measure the colours of photo or result, by what of them counts."""

    def measure(top: int, bottom: int) -> ColorStatistics:
        weights = []
        if photo.opacity is not None:
            weights.append(to_unit(photo.opacity[:, :, top:bottom]))
        if extent is not None:
            weights.append(extent(top, bottom))
        return measure_colors(rows(top, bottom), reduce(torch.mul, weights) if weights else None)

    parts = starmap(measure, row_ranges(photo.height, photo.width, STRIP_PIXELS))
    return sum(parts, start=next(parts))


def measure_style(
    model: StyleTransferModel, painting: Source, name: str | None = None, side: int = STYLE_SIDE
) -> StyleStatistics:
    """Measure the style of a painting.

    Args:
        model: The network.
        painting: A picture file.
        name: What error messages call it.
        side: Its shorter side in pixels; a smaller painting is measured as it is. At a larger
            one the strokes are broader and softer.

    Raises:
        ImageError: If the painting cannot be read.
    """
    picture = resize_shorter_side(load_image(painting, name=name), side)
    return model.measure_style(picture.pixels)


def stored_style(
    model: StyleTransferModel,
    gallery: Gallery,
    target: Painting | Group,
    side: int = STYLE_SIDE,
) -> StyleStatistics:
    """Return the style of a painting of the gallery, or of all paintings of an artist or style.

    What was not measured by this model's encoder yet is measured now, where the picture is at
    hand, and kept.

    Args:
        model: The network.
        gallery: Where the painting is.
        target: The painting or the group.
        side: As for `measure_style`. Only what is measured at `STYLE_SIDE` is kept.

    Raises:
        StylesError: If it was not measured, and there is no picture.
        ImageError: If the picture cannot be read.
    """
    if side != STYLE_SIDE:
        if isinstance(target, Group) or target.path is None:
            raise StylesError(
                f"{target.slug}: measured at {STYLE_SIDE} pixels, and its picture is not here; "
                "leave --style-size out, or give a picture of it as the style"
            )
        return measure_style(model, Path(target.path), side=side)
    if isinstance(target, Group):
        vector = gallery.pooled(target, model.fingerprint, partial(pool_vectors, model))
        return unpack_vectors(model, vector)
    stored = gallery.vector(target, model.fingerprint)
    if stored is not None:
        return unpack_vectors(model, stored)
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
    side: int = STYLE_SIDE,
    separate: bool = False,
) -> tuple[str, Measure]:
    """Find what references stand for, before any network is loaded.

    Args:
        references: The parts of the style.
        open_gallery: Called once, when a part is not a file.
        standard_input: What the reference `-` reads.
        side: Shorter side in pixels at which paintings are measured.
        separate: Whether the styles stay apart, one for each mask, instead of being mixed.

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
            measure = partial(
                measure_style, painting=standard_input, name="standard input", side=side
            )
            parts.append(("stdin", measure))
        elif reference.is_file:
            painting = Path(reference.name)
            measure = partial(measure_style, painting=painting, side=side)
            parts.append((file_slug(reference), measure))
        else:
            gallery = gallery or open_gallery()
            target = find_target(gallery, reference.name)
            measure = partial(stored_style, gallery=gallery, target=target, side=side)
            parts.append((target.slug, measure))
    slug = "+".join(slug for slug, _ in parts)[:MAX_SLUG]
    if len(parts) == 1:
        return slug, parts[0][1]

    def mix(model: StyleTransferModel) -> StyleStatistics:
        styles = [measure(model) for _, measure in parts]
        return join_styles(styles, None if separate else [each.weight for each in references])

    return slug, mix


def join_styles(
    styles: Sequence[StyleStatistics], weights: Sequence[float] | None
) -> StyleStatistics:
    """Return styles `(1, C)` mixed by weights, or without weights as a batch `(N, C)`."""
    if len(styles) == 1:
        return styles[0]
    if weights is not None:
        return interpolate_styles(styles, weights)
    widths = {layer: value.mean.shape[1] for layer, value in styles[0].layers.items()}
    return StyleStatistics.from_vector(torch.cat([each.to_vector() for each in styles]), widths)


def pool_vectors(model: StyleTransferModel, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the style vector `(1, D)` of many paintings, `(N, D)`, together."""
    return pool_styles(unpack_vectors(model, vectors)).to_vector().numpy()


def unpack_vectors(model: StyleTransferModel, vectors: NDArray[np.float32]) -> StyleStatistics:
    """Return the styles of style vectors `(N, D)`."""
    widths = {layer: model.encoder.widths[layer] for layer in STYLE_LAYERS}
    return StyleStatistics.from_vector(torch.from_numpy(vectors), widths)
