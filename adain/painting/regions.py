"""Where faces, people and the background of a photo are, and how each is painted.

    photo ── Sighting: heads and people ── masks at a size ── strengths, shares of styles

Networks of 0.2 MB tell (`adain.engine.people`); they are loaded when they are first needed. What
is not found changes nothing: a photo without a face is painted as if no face were to be kept.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adain.config import BACKGROUND, EVERYWHERE, FACE, PERSON, REGIONS, REST, Controls
from adain.engine.people import PERSON_SIDE, Face, detect_faces, person_share
from adain.imaging.filters import gaussian_blur
from adain.imaging.interpolation import Interpolation
from adain.imaging.picture import Picture, row_ranges, to_levels
from adain.imaging.resizing import resize_to, scale_image
from adain.painting.sources import PictureSource, read_picture

FACE_SIDES = {640: 0.012, 1024: 0.012, 320: 0.4}
"""Longest sides at which faces are looked for, and how high a face is at least against each.

The second is for small faces in large photos, the third for those that fill the photo; each is
looked at only where the ones before show none.
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

Rows = Callable[[int, int], NDArray[np.float32]]

Shares = NDArray[np.float32 | np.uint8]
"""Floating point in [0, 1], or uint8 with 255 for 1."""

ShareType = np.dtype[np.float32 | np.uint8]


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

    Example:
        >>> find_regions("photo.jpg", ["face"])  # There is none.
        {}
    """
    for kind in kinds:
        if kind not in REGIONS:
            raise ValueError(f"kinds must be of {', '.join(REGIONS)}, got {kind!r}")
    picture = read_picture(photo)
    size, sighting = (picture.height, picture.width), Sighting.of(picture, kinds)
    found = {kind: sighting.rows(kind, size) for kind in kinds}
    return {kind: rows(0, size[0]) for kind, rows in found.items() if rows is not None}


def find_faces(photo: Picture) -> list[Face]:
    """Return the faces of a photo in its pixels, the surest first."""
    longest = max(photo.width, photo.height)
    usual = next(iter(FACE_SIDES))
    for side, least in FACE_SIDES.items():
        if side > usual:
            if longest <= usual:
                continue  # Enlarged still more, it would not show more.
            side = min(side, longest)
        seen = detect_faces(scale_image(photo, side).pixels)
        faces = [face.scaled(longest / side) for face in seen if face.box[3] >= least * side]
        if faces:
            return faces
    return []


def sought(controls: Controls) -> set[str]:
    """Return the kinds of regions that have to be found."""
    kinds = {FACE} if controls.kept is not None else set()
    return kinds | ({controls.only, *controls.regions} & set(REGIONS))


@dataclass(frozen=True)
class Head:
    """A soft ellipse around a face, turned as the face is; lengths in widths of the photo.

    Attributes:
        middle: x and y.
        down: Direction from the eyes to the mouth, of length 1.
        radii: Across it and along it.
        cut: Share to which it ends where the person does, in [0, 1].
        weight: Its part in the mask, in [0, 1].
    """

    middle: tuple[float, float]
    down: tuple[float, float]
    radii: tuple[float, float]
    cut: float = 0.0
    weight: float = 1.0

    @classmethod
    def of(cls, face: Face) -> "Head":
        """Return that of a face in widths of its photo."""
        x, y, width, height = face.box
        points = face.landmarks
        eyes, mouth = points[:2].mean(0), points[3:].mean(0)
        dx, dy = (float(each) for each in mouth - eyes)
        length = math.hypot(dx, dy)
        # A face seen from above or below shows eyes and mouth in one place.
        turned = (dx / length, dy / length) if length > 0.1 * height else (0.0, 1.0)
        size = max(width, height)
        return cls((x + width / 2, y + height / 2), turned, (HEAD[0] * size, HEAD[1] * size))

    def seen(self, share: NDArray[np.float32], aspect: float) -> float:
        """Return the mean of a share around the middle of the face.

        Args:
            share: What is averaged, of the whole photo squeezed to another size.
            aspect: Height of the photo against its width.
        """
        (x, y), reach = self.middle, min(self.radii) / 2
        parts = []
        for at, around, side in ((y / aspect, reach / aspect, 0), (x, reach, 1)):
            first, last = ((at + way * around) * share.shape[side] for way in (-1, 1))
            parts.append(slice(max(0, int(first)), max(1, math.ceil(last))))
        part = share[parts[0], parts[1]]
        return float(part.mean()) if part.size else 0.0

    def draw(self, mask: NDArray[np.float32], first: int) -> None:
        """Add the ellipse to the rows of a mask that begin with row `first`."""
        width = mask.shape[1]
        across_radius, along_radius = (width * each for each in self.radii)
        reach = max(across_radius, along_radius)
        x, y = width * self.middle[0], width * self.middle[1] - first
        top, bottom = max(0, math.floor(y - reach)), min(len(mask), math.ceil(y + reach) + 1)
        left, right = max(0, math.floor(x - reach)), min(width, math.ceil(x + reach) + 1)
        if top >= bottom or left >= right:
            return
        rows = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - y)
        columns = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x)
        along = columns * self.down[0] + rows * self.down[1]
        across = columns * self.down[1] - rows * self.down[0]
        radius = np.sqrt((across / across_radius) ** 2 + (along / along_radius) ** 2)
        inside = ((1 - radius) / (1 - CORE)).clip(0, 1)
        inside *= self.weight * inside * (3 - 2 * inside)
        part = mask[top:bottom, left:right]
        np.maximum(part, inside, out=part)


@dataclass(frozen=True, eq=False)
class Sighting:
    """What was found in a photo, at any size.

    Attributes:
        heads: One for each face.
        people: How far each place shows a person, of the whole photo squeezed to a square; None
            if that was not looked for, and there are no heads.
    """

    heads: tuple[Head, ...] = ()
    people: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, photo: Picture, kinds: Sequence[str] | set[str]) -> "Sighting":
        """Look for regions of some kinds."""
        faces = find_faces(photo) if FACE in kinds else []
        heads = [Head.of(face.scaled(1 / photo.width)) for face in faces]
        if not heads and not {PERSON, BACKGROUND} & set(kinds):
            return cls()
        share = person_share(resize_to(photo, (PERSON_SIDE, PERSON_SIDE)).pixels)
        low, high = SURE
        people = gaussian_blur(((share - low) / (high - low)).clip(0, 1), PERSON_EDGE)
        aspect = photo.height / photo.width
        cut = [float(head.seen(people, aspect) >= PART_OF_PERSON) for head in heads]
        return cls(tuple(map(_cut_at, heads, cut)), people)

    def rows(self, kind: str, size: tuple[int, int]) -> Rows | None:
        """Return what gives rows `(h, W)` of a mask at a height and width; None if it has none."""
        if kind == FACE:
            return self._faces(size) if self.heads else None
        people = self.people
        if people is None or people.mean() < LEAST_PERSON:
            return None
        return _enlarged(1 - people if kind == BACKGROUND else people, size)

    def _faces(self, size: tuple[int, int]) -> Rows:
        assert self.people is not None
        person = _enlarged(self.people, size)

        def rows(top: int, bottom: int) -> NDArray[np.float32]:
            result = np.zeros((bottom - top, size[1]), np.float32)
            for cut in {head.cut for head in self.heads}:
                mask = np.zeros_like(result)
                for head in self.heads:
                    if head.cut == cut:
                        head.draw(mask, top)
                # Else a wall behind a head would stay the photo's as far as the ellipse goes.
                mask *= 1 + np.float32(cut) * (person(top, bottom) - 1) if cut else 1
                np.maximum(result, mask, out=result)
            return result

        return rows


def kept_strength(
    sighting: Sighting,
    size: tuple[int, int],
    controls: Controls,
    dtype: ShareType,
    notice: Callable[[str], None] | None = None,
    whole: bool = True,
) -> Shares | None:
    """Return the strength at each pixel that `controls.keep` and `controls.only` ask for.

    Args:
        sighting: What was found.
        size: Height and width of the result in pixels.
        controls: How the photo is repainted.
        dtype: Of the result.
        notice: Told what was not found.
        whole: Whether a photo is painted where what alone shall be painted is not in it.

    Returns:
        Shape `size`; None if it is 1 everywhere.
    """
    missed = notice or (lambda text: None)
    wanted: list[tuple[Rows, float, float]] = []
    if controls.kept is not None:
        if faces := sighting.rows(FACE, size):
            wanted.append((faces, 1.0, controls.kept))
        else:
            missed("no face found to keep")
    if controls.only != EVERYWHERE:
        if part := sighting.rows(controls.only, size):
            wanted.append((part, 0.0, 1.0))
        else:
            missed(f"no {_looked_for(controls.only)} found; painted as a whole")
            if not whole and controls.only != BACKGROUND:
                return np.zeros(size, dtype)
    if not wanted:
        return None
    result = np.empty(size, dtype)
    for top, bottom in row_ranges(*size):
        strength = np.ones((bottom - top, size[1]), np.float32)
        for rows, outside, inside in wanted:
            strength *= outside + np.float32(inside - outside) * rows(top, bottom)
        result[top:bottom] = to_levels(strength, dtype)
    return result


def style_shares(
    sighting: Sighting,
    size: tuple[int, int],
    regions: Sequence[str],
    dtype: ShareType,
    notice: Callable[[str], None] | None = None,
    whole: bool = True,
) -> Shares:
    """Return how much each style counts at each pixel, by the region that it is for.

    A face is no more part of the person where it has a style of its own. Without a person, the
    background is the whole photo.

    Args:
        sighting: What was found.
        size: Height and width of the result in pixels.
        regions: Those of the styles, each once, of `adain.config.PLACES`.
        dtype: Of the result.
        notice: Told what was not found.
        whole: Whether the first style takes a photo that shows nothing of what styles are for.

    Returns:
        Shape `(len(regions), *size)`; the photo keeps what they leave.
    """
    found = {kind: sighting.rows(kind, size) for kind in regions if kind != REST}
    missing = sorted({_looked_for(kind) for kind, rows in found.items() if rows is None})
    nothing = not {BACKGROUND, REST} & set(regions) and not any(found.values())
    for kind in missing:
        if notice is not None:
            notice(f"no {kind} found" + ("; painted as a whole" if nothing and whole else ""))
    result = np.zeros((len(regions), *size), dtype)
    if nothing and whole:
        result[0] = to_levels(np.ones(1, np.float32), dtype)
        return result
    for top, bottom in row_ranges(*size):
        covered = np.zeros((bottom - top, size[1]), np.float32)
        for kind in sorted(regions, key=(*REGIONS, REST).index):
            rows = found.get(kind)
            if kind in (FACE, PERSON):
                share = (rows(top, bottom) - covered).clip(0) if rows else np.zeros_like(covered)
            else:
                share = np.minimum(rows(top, bottom), 1 - covered) if rows else 1 - covered
            covered += share
            result[regions.index(kind), top:bottom] = to_levels(share, np.dtype(dtype))
    return result


def _looked_for(kind: str) -> str:
    return FACE if kind == FACE else PERSON


def _cut_at(head: Head, cut: float) -> Head:
    return replace(head, cut=cut)


def _enlarged(share: NDArray[np.float32], size: tuple[int, int]) -> Rows:
    """Return what gives rows of a share at a size."""
    down, along = (Interpolation.antialiased(len(share), side) for side in size)

    def rows(top: int, bottom: int) -> NDArray[np.float32]:
        wide = down.rows(lambda first, last: share[first:last], top, bottom)
        return along.columns(wide).clip(0, 1)

    return rows
