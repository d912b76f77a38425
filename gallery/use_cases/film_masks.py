"""Masks that are films: for each frame what they show at its time."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adain.config import PictureFile
from adain.imaging.picture import Picture
from adain.imaging.reading import SUFFIXES, load_image
from adain.painting.masks import region_weights
from adain.video.frames import Shown
from gallery.use_cases.film_reading import Damage, Facts, Film, open_film


def is_film(mask: PictureFile) -> bool:
    """Return whether a mask is a film, not a picture: by its suffix, or as it is a folder."""
    return isinstance(mask, Path) and (mask.is_dir() or mask.suffix.lower() not in SUFFIXES)


class MaskedFilm:
    """A film with masks of which one or more are films; see `Film`.

    Args:
        film: The film.
        masks: One for each style, or one with a colour for each; films or pictures. A film that
            ends early holds its last frame.
        styles: Number of styles.
        feather: Pixels of the film over which regions fade into one another.

    Raises:
        FilmError: If a mask that is a film cannot be read.
        ImageError: If one that is a picture cannot.
    """

    def __init__(
        self, film: Film, masks: Sequence[PictureFile], styles: int, feather: float
    ) -> None:
        self.path: Path = film.path
        self.facts: Facts = film.facts
        self.sound: Path | None = film.sound
        self._film, self._styles, self._feather = film, styles, feather
        self._masks: list[Film | Picture] = [
            open_film(mask) if isinstance(mask, Path) and is_film(mask) else load_image(mask)
            for mask in masks
        ]

    @property
    def damage(self) -> Damage:
        """Return what could not be read of the film."""
        return self._film.damage

    def digest(self) -> str:
        """See `Film`."""
        digest = hashlib.sha256(self._film.digest().encode())
        for mask in self._masks:
            own = mask.levels.tobytes() if isinstance(mask, Picture) else mask.digest().encode()
            digest.update(hashlib.sha256(own).digest())
        return digest.hexdigest()

    def frames(self, start: float = 0.0) -> Iterator[Shown]:
        """See `Film`."""
        readers = [
            mask if isinstance(mask, Picture) else _Reader(mask, start) for mask in self._masks
        ]
        last: list[Picture] = []
        weights: NDArray[Any] | None = None
        for shown in self._film.frames(start):
            masks = [each if isinstance(each, Picture) else each.at(shown.time) for each in readers]
            if weights is None or any(a is not b for a, b in zip(masks, last, strict=True)):
                photo = Picture(np.ascontiguousarray(shown.pixels[..., :3]), name="the film")
                size = photo.height, photo.width
                weights = region_weights(masks, self._styles, photo, size, self._feather)
                last = masks
            yield shown._replace(masks=weights)


class _Reader:
    """The frames of a mask, each for as long as it is shown."""

    def __init__(self, film: Film, start: float) -> None:
        self._film = film
        self._frames = film.frames(start)
        self._now: Picture | None = None
        self._next: Shown | None = next(self._frames, None)

    def at(self, time: float) -> Picture:
        """Return what is shown at a time, or at first; times rise."""
        while self._next is not None and (self._now is None or self._next.time <= time + 1e-6):
            pixels = np.ascontiguousarray(self._next.pixels[..., :3])
            self._now = Picture(pixels, name=str(self._film.path))
            self._next = next(self._frames, None)
        assert self._now is not None
        return self._now
