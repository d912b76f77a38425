"""The library in two calls: `adain.stylize` and `adain.measure_style`."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import cast

from adain.config import DEFAULT_MODEL, STYLE_SIDE, Controls, PictureFile, Repainting, check_alpha
from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.errors import ImageError
from adain.files import one_line
from adain.imaging.picture import Picture
from adain.imaging.writing import encode_image
from adain.painting import measuring
from adain.painting.sources import PictureSource, read_picture
from adain.painting.stylize import stylize_picture
from adain.styles.statistics import StyleStatistics, stack_styles

Style = StyleStatistics | PictureSource
"""A measured style, or a painting."""

_loaded = cache(load_model)


def stylize(
    photo: PictureSource,
    style: Style | Sequence[Style] | Mapping[str, Style],
    *,
    alpha: float = Repainting.alpha,
    stroke: float = Controls.stroke,
    preserve_color: str = Controls.preserve_color,
    photorealistic: bool = Controls.photorealistic,
    smooth: float = Controls.smooth,
    sharpen: float = Controls.sharpen,
    masks: Sequence[PictureSource] = (),
    strength: PictureSource | None = None,
    feather: float = Controls.feather,
    keep: str = Controls.keep,
    only: str = Controls.only,
    max_side: int | None = Repainting.max_side,
    memory: int | None = None,
    style_size: int = STYLE_SIDE,
    model: str | Path | Model = DEFAULT_MODEL,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Picture:
    """Repaint a photo in the style of a painting, as the command `adain stylize` does.

    Args:
        photo: A path, the content of a file, a Pillow image, an array or a picture.
        style: From `measure_style`, or a painting given like the photo; with masks one for each
            region; or by the part of the photo that it is for, as it is found in it:
            `{"person": first, "background": second}`, `face`, or `rest` for what others leave.
        alpha: Strength: 0 keeps the photo, 1 is the full style; from -1 to 3.
        stroke: Size of the strokes, from 0.125 to 8: 2 doubles it; 0 is the finest.
        preserve_color: What of the photo's colours is kept: `none`, `luminance`, `linear` or
            `histogram`.
        photorealistic: Whether only colours change, and edges stay those of the photo.
        smooth: From 0 to 1: how far faint strokes and noise are evened out.
        sharpen: From 0 to 3: how much edges and strokes are stressed.
        masks: Where each style goes: one grey picture for each, or one with a colour for each.
        strength: Grey picture by which `alpha` is multiplied: white is 1.
        feather: Pixels of the photo over which the regions of masks fade into one another.
        keep: `face` keeps faces recognisable, `face=0.3` at that share of the strength. Like
            `only`, it changes nothing where none is found.
        only: What is painted, the rest stays as it is: `all`, `person`, `background` or `face`.
        max_side: Longest side of the result in pixels; None keeps the photo's size.
        memory: Bytes that may be used beside the network and the photo; by default up to half of
            what is free.
        style_size: Shorter side in pixels at which paintings are measured.
        model: A name or a file as for `load_model`, loaded once, or a loaded model.
        device: `auto`, `cpu`, `cuda` or `mps`; a loaded model stays where it is.
        progress: Told the share of the work that is done, in [0, 1].
        notice: Told, in a few words, of faces and people that were asked for and not found.

    Returns:
        A picture of the photo's size, with its transparency; see its `save`, `to_pil`, `to_array`.

    Raises:
        ImageError: If a picture cannot be read, or does not fit into memory.
        MaskError: If a mask does not fit the photo or the styles.
        WeightsError: If there is no such model.
        ValueError: If a number is out of its range.

    Example:
        >>> painted = stylize("photo.jpg", "painting.jpg", alpha=0.8)
        >>> painted.width, painted.height
        (60, 45)
        >>> soft = stylize("photo.jpg", "painting.jpg", stroke=2, preserve_color="luminance")
        >>> soft.save("soft.png", overwrite=True)
    """
    regions = tuple(map(str, style)) if isinstance(style, Mapping) else ()
    controls = Controls(
        strength=None if strength is None else _mask_file(strength),
        masks=tuple(map(_mask_file, masks)),
        regions=regions,
        feather=feather,
        keep=keep,
        only=only,
        stroke=stroke,
        preserve_color=preserve_color,
        photorealistic=photorealistic,
        smooth=smooth,
        sharpen=sharpen,
    )
    Repainting(check_alpha(alpha), max_side, style_size)  # Refuses what is out of range.
    several = isinstance(style, Sequence) and not isinstance(style, str | bytes)
    given = list(style.values()) if isinstance(style, Mapping) else style if several else [style]
    styles = cast("Sequence[Style]", given)
    if not styles or (len(styles) > 1 and not masks and not regions):
        raise ValueError(
            f"{len(styles)} styles: give one, one for each region of `masks`, or a dictionary of "
            "the parts of the photo"
        )
    picture = read_picture(photo)
    network = loaded_network(model, device)
    measured = [
        each
        if isinstance(each, StyleStatistics)
        else measure_style(each, side=style_size, model=network)
        for each in styles
    ]
    return stylize_picture(
        network,
        picture,
        stack_styles(measured),
        alpha=alpha,
        max_side=max_side,
        controls=controls,
        memory=memory,
        progress=progress,
        notice=notice,
    )


def measure_style(
    painting: PictureSource,
    *,
    side: int = STYLE_SIDE,
    model: str | Path | Model = DEFAULT_MODEL,
    device: str = "auto",
) -> StyleStatistics:
    """Measure the style of a painting, to use it for many photos.

    Args:
        painting: As the photo of `stylize`.
        side: Its shorter side in pixels; a smaller painting is measured as it is.
        model: As for `stylize`.
        device: As for `stylize`.

    Raises:
        ImageError: If the painting cannot be read.
        WeightsError: If there is no such model.

    Example:
        >>> style = measure_style("painting.jpg")
        >>> [stylize(photo, style).height for photo in ("photo.jpg", "painting.jpg")]
        [45, 64]
    """
    if isinstance(painting, str) and not (Path(painting).suffix or os.path.lexists(painting)):
        name = one_line(painting)
        raise ImageError(f"{name}: no such file; one of the gallery: gallery.style({name!r})")
    return measuring.measure_style(loaded_network(model, device), painting, side=side)


def loaded_network(model: str | Path | Model, device: str) -> Model:
    """Return a model that is loaded, or load it, once."""
    if isinstance(model, Model):
        return model
    return _loaded(model, device)


def _mask_file(mask: PictureSource) -> PictureFile:
    if isinstance(mask, str):
        return Path(mask)
    if isinstance(mask, Path | bytes):
        return mask
    return encode_image(read_picture(mask), "png", bits=16)
