"""Where one shot ends and the next begins.

A cut changes both the colours and the places of things from one frame to the next, far more than
the frames around it, and for good: what comes back after a few frames was a flash. A cut that is
missed does little harm, as statistics follow slowly; one that is none would show as a jump. So in
doubt there is none. Fades change little from frame to frame: they are no cuts.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

THUMB = 32
"""Cells of a glance along the longer side."""

BINS = 32
"""Steps of a histogram."""

REACH = 5
"""Frames before and after that are looked at; a flash is shorter."""

MOVED = 0.09
"""Mean change of the cells, of [0, 1], from which it can be a cut."""

RECOLORED = 0.03
"""Mean shift of the colours, of [0, 1], from which it can be a cut."""

STANDS_OUT = 3.0
"""How many times the change between frames near by a cut is at least."""

FLAT = 0.015
"""Deviation of the cells below which a frame shows nothing that could be measured."""

TINTED = 0.05
"""Difference between channels, of [0, 1], from which what lies over a frame is no grey."""

ALIKE = 0.8
"""Correlation of the cells from which two frames show the same."""

Frame = TypeVar("Frame")


@dataclass(frozen=True, eq=False)
class Glance:
    """A frame at a glance.

    Attributes:
        cells: Mean colours of a coarse grid, `(h, w, 3)`, in [0, 1].
        reached: Share of the pixels up to each step, `(BINS, 3)`: a cumulative histogram.
    """

    cells: NDArray[np.float32]
    reached: NDArray[np.float32]

    @staticmethod
    def of(pixels: NDArray[Any]) -> "Glance":
        """Look at a frame `(H, W, C)`: uint8, uint16 or floating point in [0, 1]."""
        step = max(1, max(pixels.shape[:2]) // (4 * THUMB))
        near = pixels[::step, ::step, :3]
        white = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
        near = near.astype(np.float32) / np.float32(white)
        side = max(1, round(max(near.shape[:2]) / THUMB))
        height, width = (max(1, each // side) for each in near.shape[:2])
        blocks = near[: height * side, : width * side]
        blocks = blocks.reshape(height, blocks.shape[0] // height, width, -1, 3)
        steps = (near * BINS).astype(np.intp).clip(0, BINS - 1).reshape(-1, 3)
        counts = [np.bincount(channel, minlength=BINS) for channel in steps.T]
        reached = np.cumsum(np.stack(counts, 1), axis=0, dtype=np.float32) / len(steps)
        return Glance(blocks.mean((1, 3)), reached.astype(np.float32))

    @property
    def spread(self) -> float:
        """Return how much it shows: the deviation of the cells, in [0, 0.5]."""
        return float(self.cells.std((0, 1)).max())

    @property
    def is_flat(self) -> bool:
        """Return whether it shows nothing, as at the end of a fade."""
        return self.spread < FLAT

    def is_fade_of(self, other: "Glance") -> bool:
        """Return whether it shows no more of the same, with some grey, black or white over it."""
        if self.cells.shape != other.cells.shape or self.spread > other.spread:
            return False
        means, others = self.cells.mean((0, 1)), other.cells.mean((0, 1))
        over = means - others * self.spread / max(other.spread, 1e-6)
        if np.ptp(over) > TINTED:
            return False
        cells, before = self.cells - means, other.cells - others
        norms = float(np.linalg.norm(cells) * np.linalg.norm(before))
        return float((cells * before).sum()) >= ALIKE * norms

    def moved(self, other: "Glance") -> float:
        """Return the mean change of the cells."""
        if self.cells.shape != other.cells.shape:
            return 1.0
        return float(np.abs(self.cells - other.cells).mean())

    def recolored(self, other: "Glance") -> float:
        """Return how far the colours have shifted: the distance of the histograms."""
        return float(np.abs(self.reached - other.reached).mean())

    def resembles(self, other: "Glance", share: float = 0.5) -> bool:
        """Return whether it may be of the same shot."""
        return (
            self.moved(other) < share * MOVED or self.recolored(other) < share * RECOLORED
        ) and self.moved(other) < 2 * MOVED


def is_cut(before: Sequence[Glance], after: Sequence[Glance]) -> bool:
    """Return whether a shot ends between two frames.

    Args:
        before: The last frames before it, up to `REACH`.
        after: The first ones after it.
    """
    if not before or not after:
        return False
    moved, recolored = before[-1].moved(after[0]), before[-1].recolored(after[0])
    if moved < MOVED or recolored < RECOLORED:
        return False
    around = [a.moved(b) for side in (before, after) for a, b in pairwise(side)]
    if around and moved < STANDS_OUT * float(np.median(around)):
        return False
    # What lasts for a few frames between those of one shot.
    starts_flash = any(before[-1].resembles(each) for each in after[1:])
    ends_flash = any(after[0].resembles(each) for each in before[:-1])
    return not (starts_flash or ends_flash)


def mark_cuts(
    frames: Iterable[Frame],
    glance: Callable[[Frame], Glance],
    before: Sequence[Glance] = (),
) -> Iterator[tuple[Frame, Glance, bool]]:
    """Yield frames, what is seen of each, and whether a shot begins with it.

    Reads `REACH` frames ahead. The first frame begins no shot unless frames before it are known.

    Args:
        frames: The frames.
        glance: What looks at one.
        before: The last frames before the first.
    """
    past = deque(before, REACH)
    ahead: deque[tuple[Frame, Glance]] = deque()

    def first() -> tuple[Frame, Glance, bool]:
        frame, seen = ahead[0]
        cut = is_cut(list(past), [each for _, each in ahead])
        past.append(seen)
        ahead.popleft()
        return frame, seen, cut

    for frame in frames:
        ahead.append((frame, glance(frame)))
        if len(ahead) == REACH:
            yield first()
    while ahead:
        yield first()
