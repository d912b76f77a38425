"""Photos of any size in bounded memory, equal to one pass over the whole photo.

    photo ── tiles ── encode ── moments of each layer      first pass: the cores of all tiles
    photo ── tiles ── encode ── decode ── result           second pass: what surrounds a core is
                                                           as wide as the network looks

Tiles meet at whole positions of the deepest layer, and what a core depends on is inside its tile:
there are no seams that could show. A photo that fits into memory is one tile, encoded once.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from adain.config import MIN_SIDE, STRIDE, STYLE_LAYERS
from adain.engine.device import free_memory
from adain.engine.model import Array, Encoded, Model, Shares, whole_strides
from adain.errors import ImageTooLargeError
from adain.imaging.picture import row_ranges, to_unit
from adain.painting.maps import color_maps, style_maps
from adain.styles.colors import ColorMoments
from adain.styles.field import StyleField
from adain.styles.statistics import ChannelMoments, StyleStatistics

TILE_PIXELS = 2**22
"""Most pixels of a tile: with larger ones the margins cost little less."""

BLEND_BYTES = 250
"""The same for each style, besides, where several share the photo."""

FEATURE_BYTES = 128
"""Memory for each pixel of a tile whose features are kept from the first pass for the second."""

MEMORY_SHARE = 0.5
"""Share of the free memory that is used when no limit is given."""

Moments = dict[str, ChannelMoments]
"""Those of a picture, or of a part of it, at each layer."""

ONE = 1 - 1e-5
"""Shares that add up to so much leave nothing for the photo."""

UNCHANGED, NOWHERE = np.zeros((0, 12), np.float32), np.zeros((0, 1, 1), np.float32)
"""Maps and shares of a picture that is not recolored."""

EVERYWHERE: Shares = (np.ones((1, 1, 1), np.float32),) * len(STYLE_LAYERS)


class Rows(Protocol):
    """Rows of a photo `(H, W, 3)`: RGB, uint8, uint16 or float32 in [0, 1].

    A `Picture`, a NumPy array, also one that is mapped from a file, or whatever gives slices of
    rows.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Return `(H, W, 3)`."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Box:
    """A part of a photo that is padded to whole positions, in pixels, multiples of `STRIDE`."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def pixels(self) -> int:
        """Return how many it holds."""
        return (self.bottom - self.top) * (self.right - self.left)

    def grown(self, margin: int, height: int, width: int) -> "Box":
        """Return it with a margin, as far as a photo of this size goes."""
        return Box(
            max(0, self.top - margin),
            min(height, self.bottom + margin),
            max(0, self.left - margin),
            min(width, self.right + margin),
        )

    def within(self, other: "Box") -> tuple[int, int, int, int]:
        """Return top, bottom, left and right in another box that holds it."""
        return (
            self.top - other.top,
            self.bottom - other.top,
            self.left - other.left,
            self.right - other.left,
        )


class Maps(NamedTuple):
    """Maps of `K` styles for a photo, or for all frames of a film that look alike.

    Attributes:
        colors: What recolors it, `(K, 12)`; see `adain.painting.maps.color_maps`.
        features: What normalizes its features and modulates the decoder, `(K, P)`.
    """

    colors: Array
    features: Array


class PaintedTile(NamedTuple):
    """The pixels `(h, w, 3)` of a part of a result, unclamped, and where they belong."""

    top: int
    left: int
    pixels: Array


def paint_tiles(
    model: Model,
    photo: Rows,
    style: StyleStatistics | StyleField,
    alpha: float = 1.0,
    *,
    memory: int | None = None,
    progress: Callable[[float], None] | None = None,
    tile_pixels: int = TILE_PIXELS,
    maps: Maps | None = None,
) -> Iterator[PaintedTile]:
    """Repaint a photo of any size.

    Args:
        model: The network.
        photo: Rows of the photo, read twice or more; sides of at least 16 pixels.
        style: One style, or what holds where.
        alpha: Strength: 0 keeps the photo, 1 is the full style; values beyond extrapolate.
        memory: Bytes that may be used beside the network, the photo and the result; by default
            half of what is free. The result does not depend on it.
        progress: Told the share of the work that is done, in [0, 1].
        tile_pixels: Most pixels of a tile.
        maps: From `measure_maps`, of other photos perhaps; by default those of this one.

    Returns:
        Iterator over tiles that cover the result, row by row.

    Raises:
        ValueError: If a shape does not fit or `alpha` is not finite.
        ImageTooLargeError: If the memory is too small for this photo.
    """
    painting = _plan(model, photo, style, alpha, memory, progress, tile_pixels)
    return painting.tiles() if maps is None else painting.paint(maps, {})


def measure_maps(
    model: Model,
    photos: Sequence[Rows],
    style: StyleStatistics | StyleField,
    alpha: float = 1.0,
    *,
    memory: int | None = None,
) -> Maps:
    """Return the maps by which photos of one size are repainted as if they were one picture.

    Args:
        model: The network.
        photos: One or more; as for `paint_tiles`.
        style: As for `paint_tiles`.
        alpha: The same.
        memory: The same.

    Raises:
        ValueError: If a shape does not fit or `alpha` is not finite.
        ImageTooLargeError: If the memory is too small for such a photo.
    """
    paintings = [_plan(model, photo, style, alpha, memory) for photo in photos]
    moments = [each.color_moments() for each in paintings]
    colors = paintings[0].color_maps(sum(moments[1:], moments[0]))
    contents: list[Moments] = []
    for each in paintings:
        found = each.measure(colors)[0]
        contents = [*map(_merged, contents, found)] if contents else found
    return Maps(colors, paintings[0].feature_maps(contents))


def _plan(
    model: Model,
    photo: Rows,
    style: StyleStatistics | StyleField,
    alpha: float,
    memory: int | None = None,
    progress: Callable[[float], None] | None = None,
    tile_pixels: int = TILE_PIXELS,
) -> "_Painting":
    height, width = _check_shape(photo)
    if not -100 <= alpha <= 100:
        raise ValueError(f"alpha must be a finite number near [0, 1], got {alpha}")
    if isinstance(style, StyleField):
        style.check_size(height, width)
    memory = memory_limit(model, memory)
    pixel = model.engine.tile_bytes
    pixel += BLEND_BYTES * (len(style.styles) if isinstance(style, StyleField) else 0)
    pixels = min(tile_pixels, memory // pixel)
    grid = plan_tiles(height, width, model.reach, pixels, pixel)
    return _Painting(model, photo, style, alpha, grid, memory, progress or (lambda _: None))


def paint_pixels(
    model: Model, pixels: Array, style: StyleStatistics | StyleField, alpha: float = 1.0
) -> Array:
    """Return a photo `(H, W, 3)` in [0, 1] repainted in one pass, in [0, 1]; see `paint_tiles`."""
    painted = np.empty_like(pixels)
    for top, left, tile in paint_tiles(model, pixels, style, alpha):
        painted[top : top + tile.shape[0], left : left + tile.shape[1]] = tile.clip(0, 1)
    return painted


def measure_pixels(model: Model, pixels: Array) -> StyleStatistics:
    """Return the statistics of a painting `(H, W, 3)` in [0, 1], its colours among them."""
    height, width = _check_shape(pixels)
    whole = Box(0, whole_strides(height), 0, whole_strides(width))
    tile = _read(pixels, whole)
    encoded = model.engine.encode(tile, UNCHANGED, NOWHERE, whole.within(whole), keep=False)
    return StyleStatistics(
        {layer: each.statistics() for layer, each in encoded.moments.items()},
        ColorMoments.of(pixels).distribution(),
    )


def memory_limit(model: Model, memory: int | None = None) -> int:
    """Return the bytes that may be used: those given, else a share of what is free."""
    return int(MEMORY_SHARE * free_memory(model.device)) if memory is None else memory


def plan_tiles(
    height: int, width: int, reach: int, pixels: int, bytes_each: int
) -> list[list[Box]]:
    """Cut a photo into rows of tiles, so that each with its margins has at most so many pixels.

    Args:
        height: Height of the photo in pixels.
        width: Its width.
        reach: Width of the margins.
        pixels: Most pixels of a tile.
        bytes_each: Memory for each of them, which the message of an error says.

    Raises:
        ImageTooLargeError: If not even the smallest tiles are that small.
    """
    tall_photo, wide_photo = whole_strides(height), whole_strides(width)
    best: tuple[int, list[int], list[int]] | None = None
    for count in range(1, tall_photo // STRIDE + 1):
        rows = _cuts(tall_photo, count)
        tall = min(tall_photo, rows[1] + (2 * reach if count > 1 else 0))
        widest = pixels // tall
        core = wide_photo if widest >= wide_photo else (widest - 2 * reach) // STRIDE * STRIDE
        if core >= STRIDE:
            columns = _cuts(wide_photo, math.ceil(wide_photo / core))
            across = wide_photo + 2 * reach * (len(columns) - 2)
            work = across * (tall_photo + 2 * reach * (count - 1))
            if best is None or work < best[0]:
                best = work, rows, columns
        if best is not None and tall < 4 * reach:
            break  # From here on margins are most of a tile.
    if best is None:
        least = bytes_each * min(height, 2 * reach + STRIDE) * min(width, 2 * reach + STRIDE)
        raise ImageTooLargeError(
            f"{width}x{height} pixels need {least / 2**20:.0f} MiB of memory beside the picture, "
            f"and {bytes_each * max(pixels, 0) / 2**20:.0f} MiB are left; allow more, or give a "
            "smaller picture"
        )
    _, rows, columns = best
    return [
        [Box(top, bottom, left, right) for left, right in pairwise(columns)]
        for top, bottom in pairwise(rows)
    ]


class _Painting:
    """One photo in one style."""

    def __init__(
        self,
        model: Model,
        photo: Rows,
        style: StyleStatistics | StyleField,
        alpha: float,
        grid: Sequence[Sequence[Box]],
        memory: int,
        progress: Callable[[float], None],
    ) -> None:
        self._model, self._photo, self._alpha = model, photo, alpha
        self._field = style if isinstance(style, StyleField) else None
        self._styles = style.styles if isinstance(style, StyleField) else (style,)
        self._grid = grid
        self._size = (grid[-1][-1].bottom, grid[-1][-1].right)
        self._tiles = sum(map(len, grid))
        seen = [self._seen(box).pixels for row in grid for box in row]
        fits = FEATURE_BYTES * sum(seen) + model.engine.tile_bytes * max(seen) <= memory
        # Encoded for one style alone, and for all styles of a field, a photo differs.
        self._keeps = self._field is None and (self._tiles == 1 or fits)
        self._progress, self._done = progress, 0
        self._total = self._tiles * (len(self._styles) + 1)

    def tiles(self) -> Iterator[PaintedTile]:
        """Measure and paint the photo, tile by tile."""
        colors = self.color_maps(self.color_moments())
        contents, kept = self.measure(colors)
        yield from self.paint(Maps(colors, self.feature_maps(contents)), kept)

    def paint(self, maps: Maps, kept: dict[Box, Encoded]) -> Iterator[PaintedTile]:
        """Paint it by maps, tile by tile; what is kept of one that was encoded is used up."""
        height, width = self._photo.shape[:2]
        for box in (box for row in self._grid for box in row):
            core = self._paint(box, maps, kept.pop(box, None))
            yield PaintedTile(box.top, box.left, core[: height - box.top, : width - box.left])

    def color_moments(self) -> ColorMoments:
        """Measure the colours that the photo has padded."""
        height, width = self._size
        strips = row_ranges(height, width, STRIDE * width)
        parts = (ColorMoments.of(_read(self._photo, Box(*rows, 0, width))) for rows in strips)
        return sum(parts, start=next(parts))

    def color_maps(self, photo: ColorMoments) -> Array:
        """Return what recolors a photo of such colours."""
        if self._model.colors is None:
            return np.zeros((len(self._styles), 12), np.float32)
        return color_maps(self._model.colors, photo.distribution(), self._styles)

    def feature_maps(self, contents: Sequence[Moments]) -> Array:
        """Return what normalizes features of such moments, for each style."""
        statistics = [
            {layer: each.statistics() for layer, each in moments.items()} for moments in contents
        ]
        return style_maps(self._model, statistics, self._styles, self._alpha)

    def measure(self, colors: Array) -> tuple[list[Moments], dict[Box, Encoded]]:
        """Return the moments of the photo for each style, and what was encoded of each tile."""
        contents, kept = [], {}
        for i in range(len(self._styles)):
            moments: Moments = {}
            for box in (box for row in self._grid for box in row):
                seen = self._seen(box) if self._keeps else self._around(box)
                shares = self._share(1)
                encoded = self._encode(seen, box, colors[i : i + 1], shares, self._keeps)
                moments = _merged(moments, encoded.moments) if moments else encoded.moments
                if self._keeps:
                    kept[box] = encoded
                self._tell()
            contents.append(moments)
        return contents, kept

    def _paint(self, box: Box, maps: Maps, encoded: Encoded | None) -> Array:
        """Return the core of a painted tile."""
        seen = self._seen(box)
        shares = EVERYWHERE if self._field is None else _layer_shares(self._field, seen)
        if encoded is None:
            encoded = self._encode(seen, box, maps.colors, self._share(shares[0]))
        image = self._decode(encoded, maps.features, shares)
        self._tell()
        top, bottom, left, right = box.within(seen)
        return image[top:bottom, left:right]

    def _decode(self, encoded: Encoded, maps: Array, shares: Shares) -> Array:
        """Return a painted tile: each style by what was learnt of it, the rest by the base."""
        engines = [self._model.adapted(each.adapter, self._alpha) for each in self._styles]
        images = {
            engine: engine.decode(encoded.features, maps, shares)
            for engine in dict.fromkeys(engines)
        }
        if len(images) == 1 and self._field is None:
            return images[engines[0]]
        base = self._model.engine
        if base not in images and shares[0].sum(0).min() < ONE:
            images[base] = base.decode(encoded.features, maps, shares)
        if len(images) == 1:
            return next(iter(images.values()))
        result = (1 - shares[0].sum(0)[..., None]) * images.get(base, 0)
        for engine, share in zip(engines, shares[0], strict=True):
            result = result + share[..., None] * images[engine]
        return np.asarray(result, np.float32)

    def _encode(
        self, seen: Box, core: Box, colors: Array, shares: Array, keep: bool = True
    ) -> Encoded:
        tile = _read(self._photo, seen)
        return self._model.engine.encode(tile, colors, shares, core.within(seen), keep)

    def _share(self, shares: Array | int) -> Array:
        """Return how far pixels are recolored."""
        strength = 0.0 if self._model.colors is None else self._alpha
        return np.asarray(strength * shares * np.ones((1, 1, 1)), np.float32)

    def _seen(self, box: Box) -> Box:
        return box.grown(self._model.reach, *self._size)

    def _around(self, box: Box) -> Box:
        return box.grown(self._model.encoder_reach, *self._size)

    def _tell(self) -> None:
        self._done += 1
        self._progress(self._done / self._total)


def _merged(first: Moments, second: Moments) -> Moments:
    """Return the moments of both pieces together, layer by layer."""
    return {layer: each.merge(second[layer]) for layer, each in first.items()}


def _read(photo: Rows, box: Box) -> Array:
    """Return a part of a photo, mirrored beyond its end."""
    height, width = photo.shape[:2]
    levels = photo[box.top : min(box.bottom, height)][:, box.left : min(box.right, width)]
    pixels = to_unit(levels)
    missing = ((0, max(0, box.bottom - height)), (0, max(0, box.right - width)), (0, 0))
    return np.pad(pixels, missing, mode="reflect") if missing[0][1] or missing[1][1] else pixels


def _layer_shares(field: StyleField, box: Box) -> Shares:
    """Return the shares of each style in a part of a photo at each layer.

    A position has the mean share of the pixels that it stands for, in the padded photo.
    """
    shares = field.shares(box.top, box.bottom, box.left, box.right)
    return tuple(_pooled(shares, 2**i) for i in range(len(STYLE_LAYERS)))


def _pooled(shares: Array, size: int) -> Array:
    count, height, width = shares.shape
    blocks = shares.reshape(count, height // size, size, width // size, size)
    pooled: Array = blocks.mean((2, 4), dtype=np.float32)
    return pooled


def _cuts(side: int, count: int) -> list[int]:
    """Return where a side is cut into so many parts, at whole positions, the first the largest."""
    part = whole_strides(math.ceil(side / count))
    return [*range(0, side, part), side]


def _check_shape(photo: Rows) -> tuple[int, int]:
    if len(photo.shape) != 3 or photo.shape[2] != 3:
        raise ValueError(f"expected a photo of shape (H, W, 3), got {tuple(photo.shape)}")
    height, width = photo.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"sides must be at least {MIN_SIDE} pixels, got {width}x{height}")
    return height, width
