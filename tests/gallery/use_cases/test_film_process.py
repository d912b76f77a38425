"""Films in a process of their own: the same frames, and one line when it hangs or dies."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from films import write_film

from gallery.errors import FilmError
from gallery.use_cases.film_process import ApartFilm
from gallery.use_cases.film_reading import open_film


def test_a_film_is_the_same_apart_and_a_dead_or_slow_decoder_is_told(tmp_path: Path) -> None:
    source = write_film(tmp_path / "a.mp4", 12)
    film, same = ApartFilm(source), open_film(source)
    assert (film.facts, film.sound, film.digest()) == (same.facts, source, same.digest())
    for _ in range(2):
        for one, other in zip(film.frames(0.1), same.frames(0.1), strict=True):
            assert one.time == other.time
            np.testing.assert_array_equal(one.pixels, other.pixels)
    assert film.damage == same.damage
    frames = film.frames()
    next(frames)
    assert isinstance(frames, Generator)
    frames.close()  # Nothing is left of its process.
    (tmp_path / "b.mp4").write_text("text")
    with pytest.raises(FilmError, match="not a film"):
        ApartFilm(tmp_path / "b.mp4")
    with pytest.raises(FilmError, match=r"gave no frame for 0\.001 seconds"):
        ApartFilm(source, patience=0.001)
    film = ApartFilm(source)
    assert film._reader
    film._reader._process.kill()
    with pytest.raises(FilmError, match="decoder ended"):
        list(film.frames())
