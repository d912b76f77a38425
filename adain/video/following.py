"""Where faces and people are in the frames of a film, steadily.

    frames of a shot ── some are looked at ── calmed ── those between are blended

A face that is missed for a moment fades slowly, and outlines do not tremble; what moves is
followed at once. Nothing is carried over a cut.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adain.config import FACE, PERSON, Controls
from adain.painting.regions import Head, Sighting, kept_strength, sought, style_shares
from adain.painting.sources import picture_from_array
from adain.styles.field import StyleField
from adain.styles.statistics import StyleStatistics

FRAMES, SECONDS = 4, 0.2
"""Frames, and seconds of a film, after which a frame is looked at again, whichever come first."""

CALM_SECONDS = 0.3
"""Time in which what stands still comes two thirds of the way to where it is seen."""

MOVED = 0.4
"""Change from which what is seen holds at once: of a head in its radii, of a person in shares."""

LOST = 0.25
"""Part of its weight that a head loses with each look that does not show it."""

FAINT = 0.05
"""Weight below which a head is gone."""


class Follower:
    """Follows faces and people through the frames of a film.

    Args:
        controls: What is asked for.
    """

    def __init__(self, controls: Controls) -> None:
        self._kinds = sought(controls)
        self._last: Sighting | None = None
        self._at = 0.0
        self.found: set[str] = set()
        """The kinds that were found in any frame."""

    def resume(self, sighting: Sighting | None, time: float) -> None:
        """Go on after a frame that showed something at a time in seconds."""
        self._last, self._at = sighting, time

    def follow(
        self, frames: Sequence[NDArray[Any]], times: Sequence[float], begins: bool
    ) -> list[Sighting]:
        """Return what each of some frames that follow one another shows.

        Args:
            frames: As `paint_frames` takes them, of one shot.
            times: Seconds from the beginning of the film.
            begins: Whether a shot begins with them.
        """
        if begins:
            self._last = None
        sightings: list[Sighting] = []
        for i in self._looked_at(times):
            last, seen = self._last, self._look(frames[i])
            now = seen if last is None else calmed(last, seen, times[i] - self._at)
            before = len(sightings)
            for j in range(before, i + 1):
                share = (j - before + 1) / (i - before + 1)
                sightings.append(now if last is None else blended(last, now, share))
            heads = tuple(head for head in now.heads if head.weight)
            self._last, self._at = replace(now, heads=heads), times[i]
        return sightings

    @property
    def missed(self) -> list[str]:
        """Return what no frame has shown."""
        kinds = {FACE if kind == FACE else PERSON for kind in self._kinds - self.found}
        return [f"no {kind} found in any frame" for kind in sorted(kinds)]

    def _looked_at(self, times: Sequence[float]) -> list[int]:
        """Return the frames that are looked at; the last one is."""
        chosen = [0] if self._last is None else []
        frame, time = (0, times[0]) if chosen else (-1, self._at)
        for i in range(frame + 1, len(times)):
            if i - frame >= FRAMES or times[i] - time >= SECONDS or i == len(times) - 1:
                chosen.append(i)
                frame, time = i, times[i]
        return chosen

    def _look(self, frame: NDArray[Any]) -> Sighting:
        sighting = Sighting.of(picture_from_array(frame, "frame"), self._kinds)
        size = (8, 8)
        self.found |= {kind for kind in self._kinds if sighting.rows(kind, size)}
        return sighting


def placed(
    styles: Sequence[StyleStatistics],
    sightings: Sequence[Sighting],
    controls: Controls,
    size: tuple[int, int],
    fixed: StyleField | None = None,
) -> StyleField | None:
    """Return what holds where in frames of a height and width, on average; None if one style does.

    Args:
        styles: One, or one for each region or mask.
        sightings: What the frames show.
        controls: What is asked for.
        size: Height and width in pixels.
        fixed: What masks and a picture of the strength say of every frame.
    """
    dtype = np.dtype(np.float32)
    strengths, regions = [], []
    for sighting in sightings:
        strength = kept_strength(sighting, size, controls, dtype, whole=False)
        strengths.append(np.ones(size, dtype) if strength is None else strength)
        if controls.regions:
            regions.append(style_shares(sighting, size, controls.regions, dtype, whole=False))
    strength, masks = _mean(strengths), _mean(regions) if regions else None
    if fixed is not None:
        masks = fixed.masks if masks is None else masks
        strength = strength if fixed.strength is None else fixed.strength
    if masks is None and strength.min() == 1:
        return None
    return StyleField(tuple(styles), masks, strength)


def calmed(last: Sighting, seen: Sighting, seconds: float) -> Sighting:
    """Return what is seen, so that it does not tremble: the heads of before first, in their order.

    Args:
        last: What was seen before, calmed.
        seen: What is seen.
        seconds: Time between the two.
    """
    least = 1 - math.exp(-max(seconds, 0.0) / CALM_SECONDS)
    left = list(seen.heads)
    heads: list[Head] = []
    for head in last.heads:
        near = min(left, key=lambda other: _distance(head, other), default=None)
        if near is None or _distance(head, near) > 1:
            weight = head.weight * (1 - LOST)
            heads.append(replace(head, weight=weight if weight >= FAINT else 0.0))
            continue
        left.remove(near)
        grown = abs(near.radii[1] / head.radii[1] - 1)
        share = min(1.0, least + max(_distance(head, near), grown) / MOVED)
        heads.append(_between(head, near, share))
    heads += [replace(head, weight=min(1.0, 2 * least)) for head in left]
    people = seen.people
    if people is None or last.people is None:
        people = last.people if people is None else people
    else:
        change = people - last.people
        people = last.people + change * (least + np.abs(change) / MOVED).clip(max=1)
    return Sighting(tuple(heads), people)


def blended(last: Sighting, now: Sighting, share: float) -> Sighting:
    """Return what is between two sightings, of which the latter has the heads of the former first.

    Args:
        last: At 0.
        now: At 1.
        share: Where between them.
    """
    if share >= 1:
        return now
    before = [*last.heads, *(replace(head, weight=0.0) for head in now.heads[len(last.heads) :])]
    heads = tuple(_between(*pair, share) for pair in zip(before, now.heads, strict=True))
    people: NDArray[Any] | None = last.people if now.people is None else now.people
    if last.people is not None and now.people is not None:
        people = last.people + np.float32(share) * (now.people - last.people)
    return Sighting(heads, people)


def pack_sighting(sighting: Sighting) -> dict[str, NDArray[Any]]:
    """Return a sighting as arrays, by names."""
    rows = [np.hstack(astuple(head)) for head in sighting.heads]
    people = np.zeros((0, 0), np.float32) if sighting.people is None else sighting.people
    return {"heads": np.array(rows).reshape(-1, 8), "people": people}


def unpack_sighting(values: Any) -> Sighting:
    """Return the sighting of arrays by names.

    Raises:
        KeyError: If there is none among them.
    """
    heads = tuple(
        Head((row[0], row[1]), (row[2], row[3]), (row[4], row[5]), row[6], row[7])
        for row in values["heads"].tolist()
    )
    people = values["people"]
    return Sighting(heads, people if people.size else None)


def _distance(first: Head, second: Head) -> float:
    """Return how far apart two heads are, in radii of the first."""
    return math.dist(first.middle, second.middle) / max(first.radii)


def _between(first: Head, second: Head, share: float) -> Head:
    values = [
        np.add(a, share * np.subtract(b, a))
        for a, b in zip(astuple(first), astuple(second), strict=True)
    ]
    middle, down, radii = (tuple(map(float, each)) for each in values[:3])
    length = max(math.hypot(*down), 1e-6)
    turned = (down[0] / length, down[1] / length)
    return Head(middle, turned, radii, float(values[3]), float(values[4]))  # type: ignore[arg-type]


def _mean(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0]
    mean: NDArray[Any] = np.stack(arrays).mean(0).clip(0, 1)
    return mean
