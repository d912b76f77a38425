"""Looks: all that is measured on a photo to repaint it in a style, by itself or for a film.

A photo is measured and painted in one go. The frames of a film are measured once for all: they
share a look, so that what stays the same in them is painted the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adain.config import Controls
from adain.engine.model import Model
from adain.imaging.color import ColorStatistics
from adain.imaging.picture import Picture, to_levels, to_unit
from adain.painting.finishing import ColorPair, measure_pair
from adain.painting.matching import (
    Match,
    Shares,
    blend_colors,
    color_matches,
    count_photo,
    gather_by_matches,
    gather_matched,
    measure_photo,
    measure_tiles,
    seen_colors,
)
from adain.painting.tiling import Maps, measure_maps, paint_tiles
from adain.styles.adapter import Adapter
from adain.styles.colors import ColorDistribution, ColorMoments
from adain.styles.field import StyleField
from adain.styles.recoloring import style_colors
from adain.styles.statistics import StyleStatistics

Style = StyleStatistics | StyleField


@dataclass(frozen=True, eq=False)
class Look:
    """All that frames are repainted by: it is affine, so that looks can be blended.

    Attributes:
        style: One style, or what holds where.
        alpha: Strength.
        maps: Those of the colours and features of the frames.
        matches: What gives the result the colours of each style; none without recoloring.
        finish: Colours of the frames and their results, where some are kept.
        toward: Another look and its share, where the two cannot be blended before painting:
            what was learnt of their styles differs.
    """

    style: Style
    alpha: float
    maps: Maps
    matches: tuple[Match, ...]
    finish: ColorPair | None = None
    toward: "tuple[Look, float] | None" = None

    @property
    def adapters(self) -> list[Adapter | None]:
        """Return what was learnt of each style."""
        return [style.adapter for style in _styles(self.style)]

    def blend(self, other: "Look", share: float) -> "Look":
        """Return a look between this one, at 0, and another of as many styles, at 1."""
        if share <= 0 or other is self:
            return self
        if share >= 1:
            return other

        def between(first: Any, second: Any) -> Any:
            mixed = first + share * (second - first)
            return np.asarray(mixed, np.float32)

        finish = other.finish
        if self.finish and other.finish:
            first, second = (
                _blend(*pair, share) for pair in zip(self.finish, other.finish, strict=True)
            )
            finish = (first, second)
        if self.adapters != other.adapters:
            return replace(self, finish=finish, toward=(other, share))
        return Look(
            other.style,
            self.alpha + share * (other.alpha - self.alpha),
            Maps(*map(between, self.maps, other.maps)),
            tuple(
                Match(*map(between, *pair))
                for pair in zip(self.matches, other.matches, strict=True)
            ),
            finish,
        )


def measure_look(
    model: Model,
    photos: Sequence[Picture],
    style: Style,
    alpha: float = 1.0,
    controls: Controls = Controls(),
    memory: int | None = None,
    painter: Model | None = None,
) -> Look:
    """Measure photos as if they were one picture.

    Args:
        model: The network.
        photos: One or more of one size, that at which they are painted.
        style: As for `paint_matched`.
        alpha: Strength.
        controls: How they are repainted; what says where is not looked at.
        memory: As for `paint_tiles`.
        painter: What paints by the look, where that is not the model: `model.quantized` has tints
            of its own, which on plain frames would be stretched to the range of the painting.

    Raises:
        ImageTooLargeError: If the memory does not suffice.
    """
    painter = painter or model
    maps = measure_maps(model, photos, style, alpha, memory=memory)
    look = Look(style, alpha, maps, ())
    if model.colors is not None:
        found: list[ColorMoments] = []
        before: list[ColorMoments] = []
        for photo in photos:
            weights = _weights(photo, style)
            tiles = paint_tiles(painter, photo, style, alpha, memory=memory, maps=maps)
            found = _added(found, measure_tiles(tiles, len(_styles(style)), weights))
            if alpha < 1:
                before = _added(before, count_photo(photo, len(_styles(style)), weights))
        wanted = _wanted(model, style, alpha, list(map(seen_colors, before)))
        look = Look(style, alpha, maps, tuple(color_matches(found, wanted)))
    if controls.preserve_color == "none":
        return look
    extent = style.extent if isinstance(style, StyleField) else None
    pairs = [
        measure_pair(photo, paint_by_look(painter, memory, None, look, photo), extent)
        for photo in photos
    ]
    first, second = (sum(parts[1:], parts[0]) for parts in zip(*pairs, strict=True))
    return Look(style, alpha, maps, look.matches, (first, second))


def paint_by_look(
    model: Model,
    memory: int | None,
    progress: Callable[[float], None] | None,
    look: Look,
    picture: Picture,
    style: Style | None = None,
    alpha: float | None = None,
) -> NDArray[np.generic]:
    """Paint a picture of any size in one pass, measuring nothing.

    Args:
        model: The network.
        memory: As for `paint_tiles`.
        progress: The same.
        look: How.
        picture: The picture.
        style: Unused, like `alpha`: a look has its own.
        alpha: Unused.
    """
    if look.toward is not None:
        other, share = look.toward
        first, second = (
            paint_by_look(model, memory, None, each, picture)
            for each in (replace(look, toward=None), other)
        )
        mixed = to_unit(first) + np.float32(share) * (to_unit(second) - to_unit(first))
        return to_levels(mixed, first.dtype)
    tiles = paint_tiles(
        model, picture, look.style, look.alpha, memory=memory, progress=progress, maps=look.maps
    )
    shares = look.style.shares if isinstance(look.style, StyleField) else None
    return gather_by_matches(tiles, (picture.height, picture.width), look.matches, shares)


def paint_matched(
    model: Model,
    memory: int | None,
    progress: Callable[[float], None] | None,
    picture: Picture,
    style: Style,
    alpha: float,
) -> NDArray[np.generic]:
    """Paint a picture in one pass, and give the result the colours of its styles."""
    tiles = paint_tiles(model, picture, style, alpha, memory=memory, progress=progress)
    size = (picture.height, picture.width)
    if model.colors is None:  # A network that does not recolor knows nothing of colours.
        return gather_matched(tiles, size, [])
    weights = _weights(picture, style)
    # At full strength nothing of the photo's colours is left.
    found = measure_photo(picture, len(_styles(style)), weights) if alpha < 1 else []
    shares = style.shares if isinstance(style, StyleField) else None
    return gather_matched(tiles, size, _wanted(model, style, alpha, found), shares, weights)


def _wanted(
    model: Model, style: Style, alpha: float, found: Sequence[ColorDistribution | None]
) -> list[ColorDistribution]:
    """Return the colours that a result shall have; those found count at less than 1 only."""
    wanted = [style_colors(each, model.colors).vivid() for each in _styles(style)]
    if alpha >= 1:
        return wanted
    return [blend_colors(before, each, alpha) for before, each in zip(found, wanted, strict=True)]


def _weights(picture: Picture, style: Style) -> Shares | None:
    """Return how much each pixel counts for the colours of each style; None for all alike."""
    shares = style.shares if isinstance(style, StyleField) else None
    opacity = picture.opacity
    if opacity is None:
        return shares

    def visible(top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
        seen = to_unit(opacity[top:bottom, left:right])[None]
        return seen if shares is None else seen * shares(top, bottom, left, right)

    return visible


def _styles(style: Style) -> Sequence[StyleStatistics]:
    return style.styles if isinstance(style, StyleField) else (style,)


def _added(first: Sequence[ColorMoments], second: Sequence[ColorMoments]) -> list[ColorMoments]:
    return [a + b for a, b in zip(first, second, strict=True)] if first else list(second)


def _blend(first: ColorStatistics, second: ColorStatistics, share: float) -> ColorStatistics:
    """Return the colours between those of two pictures, each of weight 1."""

    def parts(colors: ColorStatistics, weight: float) -> ColorStatistics:
        scale = weight / max(colors.count, 1e-12)
        return ColorStatistics(
            weight, scale * colors.total, scale * colors.products, scale * colors.histograms
        )

    return parts(first, 1 - share) + parts(second, share)
