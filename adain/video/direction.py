"""The direction of a film: styles that follow one another, and strengths that rise and fall."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from adain.config import check_alpha
from adain.styles.statistics import StyleStatistics, interpolate_styles

FADE = 1.0
"""Seconds that one style takes to become the next."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Moment:
    """A moment of a film: a style, one for each mask as a batch, and a strength."""

    style: StyleStatistics
    alpha: float


@dataclass(frozen=True)
class Direction:
    """The direction of a film: what holds when.

    Attributes:
        styles: Seconds and style, in order of time: from then on it takes the place of the one
            before it, within `fade` seconds. The first holds from the beginning.
        strengths: Seconds and strength, in order of time: between two the strength moves evenly.
        fade: Seconds of a cross-fade.

    Raises:
        ValueError: If there is no style or no strength, or a time or a strength makes no sense.
    """

    styles: tuple[tuple[float, StyleStatistics], ...]
    strengths: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    fade: float = FADE

    def __post_init__(self) -> None:
        _check_times("style", [time for time, _ in self.styles])
        _check_times("strength", [time for time, _ in self.strengths])
        for _, alpha in self.strengths:
            check_alpha(alpha)
        if not (math.isfinite(self.fade) and self.fade >= 0):
            raise ValueError(f"a cross-fade takes 0 seconds or more, got {self.fade}")

    def at(self, time: float) -> Moment:
        """Return what holds at a time in seconds; equal moments are of the same style object."""
        return Moment(self._style(time), self._alpha(time))

    def _style(self, time: float) -> StyleStatistics:
        style = self.styles[0][1]
        for start, following in self.styles[1:]:
            if time < start:
                break
            share = 1.0 if self.fade == 0 else min(1.0, (time - start) / self.fade)
            if share >= 1:
                style = following
            elif share > 0:
                style = interpolate_styles([style, following], [1 - share, share])
        return style

    def _alpha(self, time: float) -> float:
        before = self.strengths[0]
        for after in self.strengths[1:]:
            if time < after[0]:
                if time <= before[0]:
                    return before[1]
                share = (time - before[0]) / (after[0] - before[0])
                return before[1] + share * (after[1] - before[1])
            before = after
        return before[1]


def _check_times(what: str, times: Sequence[float]) -> None:
    if not times:
        raise ValueError(f"give a {what} for the beginning")
    if not all(math.isfinite(time) and time >= 0 for time in times):
        raise ValueError(f"times of a {what} must be 0 seconds or more, got {list(times)}")
    if list(times) != sorted(set(times)):
        raise ValueError(f"times of a {what} must rise, got {list(times)}")
