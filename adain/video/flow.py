"""Calm: the last result moves along with the picture, and the new one is blended into it.

    source before ─┐                              result before ── moved ─┐
                   ├─ flow, forth and back ── trust ───────────────────── blend ── result
    source now ────┘                              painted now ────────────┘

Where the two flows do not lead back to the same place, or the moved source is not what is there
now, nothing of the last result stays: no trails. Everywhere else what the network makes up anew
in every frame is averaged over the last few.

Needs OpenCV, which the extra `video` installs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adain.errors import EngineError, how_to_install

Pixels = NDArray[np.float32]

KEPT = 0.8
"""Share of the last result where it is trusted wholly."""

FLOW_SIDE = 512
"""Longer side in pixels at which the flow is found."""

STRAY = 0.7
"""Pixels by which both flows may miss one another, besides `STRAY_SHARE` of their lengths."""

STRAY_SHARE = 0.05

DIFFERENT = 0.06
"""Difference of colours, of [0, 1], over a few pixels, at which trust has fallen to 1/e."""

PEN_UP = 0.3
"""Difference of the painted colours at which trust has fallen to 1/e: it has another idea there."""

SOFT = 3
"""Pixels over which differences are averaged."""


@dataclass(frozen=True, eq=False)
class Before:
    """The last frame.

    Attributes:
        source: Its photo, `(H, W, 3)`, in [0, 1].
        grey: The same as OpenCV's flow reads it, at its size.
        result: What became of it, of the size of the photo.
    """

    source: Pixels
    grey: NDArray[np.uint8]
    result: Pixels


class Stabilizer:
    """Blends each result with the last; one for the frames of a film in their order.

    Raises:
        EngineError: If OpenCV is not installed.
    """

    def __init__(self) -> None:
        self._cv = import_opencv()
        self._flow = self._cv.DISOpticalFlow_create(self._cv.DISOPTICAL_FLOW_PRESET_FAST)
        self.before: Before | None = None

    def __call__(self, source: Pixels, painted: Pixels, begins: bool = False) -> Pixels:
        """Return a result that follows from the last one.

        Args:
            source: The photo, `(H, W, 3)`, in [0, 1].
            painted: What the network made of it, of the same size.
            begins: Whether a shot begins: nothing is taken from the last result.
        """
        grey = self._grey(source)
        before, result = self.before, painted
        if before is not None and not begins and before.source.shape == source.shape:
            result = self._follow(before, source, grey, painted)
        self.before = Before(source, grey, result)
        return result

    def resume(self, source: Pixels, result: Pixels) -> None:
        """Go on after a frame of another run."""
        self.before = Before(source, self._grey(source), result)

    def _follow(
        self, before: Before, source: Pixels, grey: NDArray[np.uint8], painted: Pixels
    ) -> Pixels:
        cv = self._cv
        size = source.shape[1], source.shape[0]
        back = self._flow.calc(grey, before.grey, None)
        forth = self._flow.calc(before.grey, grey, None)
        there = _moved(cv, forth, back)
        allowed = STRAY + STRAY_SHARE * np.sqrt(_squares(back))
        trust = np.exp(-_squares(back + there) / np.square(allowed))
        back, trust = _enlarged(cv, back, size), cv.resize(trust, size)
        places = _places(back)
        seen = cv.remap(before.source, *places, cv.INTER_LINEAR, borderMode=cv.BORDER_REPLICATE)
        kept = cv.remap(before.result, *places, cv.INTER_CUBIC, borderMode=cv.BORDER_REPLICATE)
        trust *= _inside(places, size)
        trust *= np.exp(-np.square(self._difference(seen, source) / DIFFERENT))
        trust *= np.exp(-np.square(self._difference(kept, painted) / PEN_UP))
        share = (KEPT * trust)[..., None]
        # Interpolation overshoots at edges by a little.
        result: Pixels = (painted + share * (kept - painted)).clip(0, 1)
        return result

    def _difference(self, first: Pixels, second: Pixels) -> Pixels:
        """Return how far colours differ, averaged over what is near."""
        cv = self._cv
        red, green, blue = cv.split(cv.absdiff(first, second))
        gap = cv.max(cv.max(red, green), blue)
        averaged: Pixels = cv.blur(gap, (2 * SOFT + 1, 2 * SOFT + 1))
        return averaged

    def _grey(self, source: Pixels) -> NDArray[np.uint8]:
        cv, side = self._cv, max(source.shape[:2])
        grey = cv.cvtColor(source, cv.COLOR_RGB2GRAY)
        if side > FLOW_SIDE:
            height, width = (max(16, round(each * FLOW_SIDE / side)) for each in source.shape[:2])
            grey = cv.resize(grey, (width, height), interpolation=cv.INTER_AREA)
        levels: NDArray[np.uint8] = np.rint(255 * grey.clip(0, 1)).astype(np.uint8)
        return levels


def import_opencv() -> Any:
    """Return OpenCV, which takes one thread.

    Raises:
        EngineError: If it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise EngineError(
            f"steady films need OpenCV, which is not installed; run: {how_to_install('video')}"
        ) from error
    cv2.setNumThreads(1)  # Frames are what is worked on at the same time.
    return cv2


def warp(cv: Any, image: Pixels, flow: Pixels) -> Pixels:
    """Return an image as seen from another frame: each pixel comes from where the flow leads."""
    moved: Pixels = cv.remap(image, *_places(flow), cv.INTER_CUBIC, borderMode=cv.BORDER_REPLICATE)
    return moved


def _moved(cv: Any, image: Pixels, flow: Pixels) -> Pixels:
    moved: Pixels = cv.remap(image, *_places(flow), cv.INTER_LINEAR, borderMode=cv.BORDER_REPLICATE)
    return moved


def _squares(flow: Pixels) -> Pixels:
    """Return the square of the length of each arrow."""
    # Sums over an axis of two are slow.
    squares: Pixels = np.square(flow[..., 0]) + np.square(flow[..., 1])
    return squares


def _places(flow: Pixels) -> tuple[Pixels, Pixels]:
    height, width = flow.shape[:2]
    columns = flow[..., 0] + np.arange(width, dtype=np.float32)
    rows = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return columns.astype(np.float32), rows.astype(np.float32)


def _enlarged(cv: Any, flow: Pixels, size: tuple[int, int]) -> Pixels:
    height, width = flow.shape[:2]
    if (width, height) == size:
        return flow
    scaled: Pixels = cv.resize(flow, size) * np.array(
        (size[0] / width, size[1] / height), np.float32
    )
    return scaled


def _inside(places: tuple[Pixels, Pixels], size: tuple[int, int]) -> Pixels:
    """Return 1 where a place is in the picture, else 0."""
    columns, rows = places
    width, height = size
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    return inside.astype(np.float32)
