"""Settings with their limits and defaults, and the constants that rooms share; quick to import."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""Layers whose statistics make a style."""

LOSS_LAYERS = (*STYLE_LAYERS, "relu5_1")
"""Layers that perceptual losses may use."""

VGG19 = (2, 2, 4, 4, 1)
"""Convolutions of each block of a VGG-19, up to `relu5_1`."""

STRIDE = 8
"""Pixels per position at relu4_1; sides are padded to a multiple of it."""

MIN_SIDE = 16
"""Smallest side in pixels: relu4_1 then has two positions a side, which reflection needs."""

ALPHA_RANGE = (-1.0, 3.0)
"""Strengths that still give a picture; the network was trained at 1."""

STYLE_SIDE = 512
"""Paintings are measured at this shorter side in pixels, smaller ones as they are.

Strokes have a size in pixels, so one rule for all makes styles comparable.
"""

MAX_STYLE_SIDE = 4096
"""Paintings are measured in one piece, in memory."""

COLOR_MODES = ("none", "luminance", "linear", "histogram")
"""Ways to keep the photo's colours (`adain.imaging.color`)."""

STROKE_RANGE = (0.125, 8.0)
"""Sizes of strokes, besides 0; beyond, a picture falls apart or takes the memory."""

PictureFile = Path | bytes
"""A picture that goes with a photo: a file or its content."""


@dataclass(frozen=True)
class Controls:
    """How a photo is repainted, besides its style and strength.

    Attributes:
        strength: Grey picture of the photo's shape: the strength is multiplied by it. White is 1;
            where it is black, the photo stays as it is.
        masks: Where each style goes, in the order of the styles: one grey picture for each, or
            one picture with a colour for each, from dark to bright. None: one style everywhere.
        feather: Pixels of the photo over which the regions of masks fade into one another.
        stroke: Size of the strokes against the picture: 1 is as on a picture of 1024 pixels
            (`adain.painting.strokes`), 2 twice as large; 0 is the finest, whatever the size.
        preserve_color: What of the photo's colours is kept, one of `COLOR_MODES`.
        photorealistic: Whether only colours change, and edges stay those of the photo.
        smooth: From 0 to 1: how far faint strokes and noise are evened out.
        sharpen: From 0 to 3: how much edges and strokes are stressed.
    """

    strength: PictureFile | None = None
    masks: tuple[PictureFile, ...] = ()
    feather: float = 8.0
    stroke: float = 1.0
    preserve_color: str = "none"
    photorealistic: bool = False
    smooth: float = 0.0
    sharpen: float = 0.0

    def __post_init__(self) -> None:
        if self.preserve_color not in COLOR_MODES:
            raise ValueError(
                f"preserve-color must be {alternatives(COLOR_MODES)}, got {self.preserve_color!r}"
            )
        low, high = STROKE_RANGE
        if self.stroke != 0 and not low <= self.stroke <= high:
            raise ValueError(f"stroke must be 0 or from {low:g} to {high:g}, got {self.stroke}")
        for name, value, top in (
            ("feather", self.feather, 1000),
            ("smooth", self.smooth, 1),
            ("sharpen", self.sharpen, 3),
        ):
            if not 0 <= value <= top:
                raise ValueError(f"{name} must be from 0 to {top}, got {value}")


def check_alpha(alpha: float) -> float:
    """Return a strength that gives a picture. Raises `ValueError` if it is beyond `ALPHA_RANGE`."""
    low, high = ALPHA_RANGE
    if not (math.isfinite(alpha) and low <= alpha <= high):
        raise ValueError(f"alpha must be a number from {low:g} to {high:g}, got {alpha}")
    return alpha


def alternatives(words: Sequence[str]) -> str:
    """Return words as a choice: `a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}"
