"""Where faces, people and the background of a photo are, and how strongly each is painted.

Networks of 0.2 MB tell (`adain.engine.people`); they are loaded when they are first needed. What
is not found changes nothing: a photo without a face is painted as if no face were to be kept.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adain.config import BACKGROUND, EVERYWHERE, FACE, PERSON, REGIONS, Controls
from adain.engine.people import PERSON_SIDE, Face, detect_faces, person_share
from adain.imaging.filters import gaussian_blur
from adain.imaging.interpolation import Interpolation
from adain.imaging.picture import Picture, row_ranges, to_levels
from adain.imaging.resizing import resize_to, scale_image
from adain.painting.sources import PictureSource, read_picture

FACE_SIDES = {640: 0.012, 320: 0.4}
"""Longest sides at which faces are looked for, and how high a face is at least against each.

The second is for faces that fill the photo, and only where the first shows none.
"""

HEAD = (0.74, 0.68)
"""Half width and half height of the ellipse around a face, against the height of its box."""

CORE = 0.55
"""Share of the ellipse's radius up to which the mask is whole; at the rim it is 0."""

LEAST_PERSON = 0.005
"""Part of a photo that people take at least, or nobody is there."""

PART_OF_PERSON = 0.7
"""Share of a person in the middle of a face from which its mask ends where the person does."""

SURE = (0.25, 0.75)
"""Shares of a person below which it is none, and above which it is one whole."""

PERSON_EDGE = 1.2
"""Softness of the outline of people: sigma in places, of which there are 256 a side."""

MISSED = {
    FACE: "no face found; painted as a whole",
    PERSON: "no person found; painted as a whole",
    BACKGROUND: "no person found; painted as a whole",
}
"""What is said where the part of a photo that alone shall be painted is not there."""

Rows = Callable[[int, int], NDArray[np.float32]]


def find_regions(
    photo: PictureSource, kinds: Sequence[str] = REGIONS
) -> dict[str, NDArray[np.float32]]:
    """Return where faces, people and the background of a photo are.

    Args:
        photo: A path, the content of a file, a Pillow image, an array or a picture.
        kinds: Some of `face`, `person` and `background`.

    Returns:
        By kind a mask of the photo's shape `(H, W)`, in [0, 1], with soft edges. What is not
        found has none: without a person there is neither `person` nor `background`.

    Raises:
        EngineError: If ONNX Runtime cannot be loaded.
        ImageError: If the photo cannot be read.
        ValueError: If there is no such kind.
        WeightsError: If a network is missing or damaged; the package needs to be installed again.
    """
    for kind in kinds:
        if kind not in REGIONS:
            raise ValueError(f"kinds must be of {', '.join(REGIONS)}, got {kind!r}")
    picture = read_picture(photo)
    finder = _Finder(picture, (picture.height, picture.width))
    found = {kind: finder.rows(kind) for kind in kinds}
    return {kind: rows(0, picture.height) for kind, rows in found.items() if rows is not None}


def find_faces(photo: Picture) -> list[Face]:
    """Return the faces of a photo in its pixels, the surest first."""
    longest = max(photo.width, photo.height)
    for side, least in FACE_SIDES.items():
        seen = detect_faces(scale_image(photo, side).pixels)
        faces = [face.scaled(longest / side) for face in seen if face.box[3] >= least * side]
        if faces:
            return faces
    return []


def kept_strength(
    photo: Picture,
    size: tuple[int, int],
    controls: Controls,
    dtype: np.dtype[np.float32 | np.uint8],
    notice: Callable[[str], None] | None = None,
) -> NDArray[np.float32 | np.uint8] | None:
    """Return the strength at each pixel that `controls.keep` and `controls.only` ask for.

    Args:
        photo: The photo.
        size: Height and width of the result in pixels.
        controls: How the photo is repainted.
        dtype: Of the result: floating point in [0, 1], or uint8 with 255 for 1.
        notice: Told what was not found.

    Returns:
        Shape `size`; None if it is 1 everywhere.
    """
    finder = _Finder(photo, size)
    sought: list[tuple[str, float, float, str]] = []
    if controls.kept is not None:
        sought.append((FACE, 1.0, controls.kept, "no face found to keep"))
    if controls.only != EVERYWHERE:
        sought.append((controls.only, 0.0, 1.0, MISSED[controls.only]))
    wanted: list[tuple[Rows, float, float]] = []
    for kind, outside, inside, missed in sought:
        rows = finder.rows(kind)
        if rows is not None:
            wanted.append((rows, outside, inside))
        elif notice is not None:
            notice(missed)
    if not wanted:
        return None
    result = np.empty(size, dtype)
    for top, bottom in row_ranges(*size):
        strength = np.ones((bottom - top, size[1]), np.float32)
        for rows, outside, inside in wanted:
            strength *= outside + np.float32(inside - outside) * rows(top, bottom)
        result[top:bottom] = to_levels(strength, dtype)
    return result


@dataclass(frozen=True)
class _Finder:
    """Finds regions of a photo, given at a height and width."""

    photo: Picture
    size: tuple[int, int]

    def rows(self, kind: str) -> Rows | None:
        """Return what gives rows `(h, W)` of a mask; None if there is no such thing."""
        return self._faces() if kind == FACE else self._people(kind)

    def _faces(self) -> Rows | None:
        scale = self.size[1] / self.photo.width
        heads = [_Head.of(face.scaled(scale)) for face in find_faces(self.photo)]
        if not heads:
            return None
        people = self._people_share
        steps = [PERSON_SIDE / side for side in self.size]
        cut = [bool(head.seen(people, *steps) >= PART_OF_PERSON) for head in heads]
        person = self._enlarged(people)

        def rows(top: int, bottom: int) -> NDArray[np.float32]:
            mask, whole = (np.zeros((bottom - top, self.size[1]), np.float32) for _ in range(2))
            for head, is_cut in zip(heads, cut, strict=True):
                head.draw(mask if is_cut else whole, top)
            # Else a wall behind a head would stay the photo's as far as the ellipse goes.
            return np.maximum(mask * person(top, bottom), whole) if any(cut) else whole

        return rows

    def _people(self, kind: str) -> Rows | None:
        share = self._people_share
        if share.mean() < LEAST_PERSON:
            return None
        return self._enlarged(1 - share if kind == BACKGROUND else share)

    @cached_property
    def _people_share(self) -> NDArray[np.float32]:
        """Return how far each place shows a person, of the whole photo squeezed to a square."""
        share = person_share(resize_to(self.photo, (PERSON_SIDE, PERSON_SIDE)).pixels)
        low, high = SURE
        return gaussian_blur(((share - low) / (high - low)).clip(0, 1), PERSON_EDGE)

    def _enlarged(self, share: NDArray[np.float32]) -> Rows:
        """Return what gives rows of a share at the size of the result."""
        down, along = (Interpolation.antialiased(PERSON_SIDE, side) for side in self.size)

        def rows(top: int, bottom: int) -> NDArray[np.float32]:
            wide = down.rows(lambda first, last: share[first:last], top, bottom)
            return along.columns(wide).clip(0, 1)

        return rows


@dataclass(frozen=True)
class _Head:
    """A soft ellipse around a face, turned as the face is.

    Attributes:
        middle: x and y in pixels.
        down: Direction from the eyes to the mouth, of length 1.
        radii: Across it and along it, in pixels.
    """

    middle: tuple[float, float]
    down: tuple[float, float]
    radii: tuple[float, float]

    @classmethod
    def of(cls, face: Face) -> "_Head":
        x, y, width, height = face.box
        points = face.landmarks
        eyes, mouth = points[:2].mean(0), points[3:].mean(0)
        dx, dy = (float(each) for each in mouth - eyes)
        length = math.hypot(dx, dy)
        # A face seen from above or below shows eyes and mouth in one place.
        turned = (dx / length, dy / length) if length > 0.1 * height else (0.0, 1.0)
        size = max(width, height)
        return cls((x + width / 2, y + height / 2), turned, (HEAD[0] * size, HEAD[1] * size))

    def seen(self, share: NDArray[np.float32], down: float, along: float) -> np.floating[Any]:
        """Return the mean of a share around the middle of the face.

        Args:
            share: What is averaged, at another size.
            down: Its rows for each of this one's.
            along: Its columns for each of this one's.
        """
        x, y, reach = self.middle[0] * along, self.middle[1] * down, min(self.radii) / 2
        rows = slice(max(0, int(y - reach * down)), max(1, math.ceil(y + reach * down)))
        columns = slice(max(0, int(x - reach * along)), max(1, math.ceil(x + reach * along)))
        part = share[rows, columns]
        return part.mean() if part.size else np.float32(0)

    def draw(self, mask: NDArray[np.float32], first: int) -> None:
        """Add the ellipse to the rows of a mask that begin with row `first`."""
        reach = max(self.radii)
        x, y = self.middle[0], self.middle[1] - first
        top, bottom = max(0, math.floor(y - reach)), min(len(mask), math.ceil(y + reach) + 1)
        left, right = max(0, math.floor(x - reach)), min(mask.shape[1], math.ceil(x + reach) + 1)
        if top >= bottom or left >= right:
            return
        rows = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - y)
        columns = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x)
        along = columns * self.down[0] + rows * self.down[1]
        across = columns * self.down[1] - rows * self.down[0]
        radius = np.sqrt((across / self.radii[0]) ** 2 + (along / self.radii[1]) ** 2)
        inside = ((1 - radius) / (1 - CORE)).clip(0, 1)
        part = mask[top:bottom, left:right]
        np.maximum(part, inside * inside * (3 - 2 * inside), out=part)
