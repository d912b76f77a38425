"""Faces and people in films: followed steadily, and forgotten at cuts."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import adain
from adain.config import Controls
from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.imaging.reading import load_image
from adain.imaging.resizing import scale_image
from adain.painting.measuring import measure_style
from adain.painting.regions import Head, Sighting
from adain.styles.statistics import StyleStatistics, stack_styles
from adain.video.direction import Direction
from adain.video.following import (
    Follower,
    blended,
    calmed,
    pack_sighting,
    placed,
    unpack_sighting,
)
from adain.video.frames import FilmPainter, Shown, paint_frames

PORTRAIT = Path(adain.__file__).parent / "assets" / "photos" / "astronaut.jpg"

KEPT = Controls(keep="face=0")


@pytest.fixture(scope="module")
def film() -> list[NDArray[np.uint8]]:
    """Frames in which a face moves to the left, two pixels each."""
    photo = scale_image(load_image(PORTRAIT), 400).to_array()[:300]
    return [np.ascontiguousarray(photo[:, 2 * i : 2 * i + 240]) for i in range(14)]


@pytest.fixture
def style(tiny_model: Model) -> StyleStatistics:
    painting = np.random.default_rng(1).integers(0, 256, (48, 48, 3), np.uint8)
    return measure_style(tiny_model, Picture(painting))


def times(count: int) -> list[float]:
    return [i / 25 for i in range(count)]


def head(x: float, weight: float = 1.0) -> Head:
    return Head((x, 0.3), (0.0, 1.0), (0.1, 0.1), 1.0, weight)


def test_a_face_is_followed_between_the_frames_that_are_looked_at(
    film: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    look = Sighting.of

    def counted(photo: Picture, kinds: set[str]) -> Sighting:
        looks.append(1)
        return look(photo, kinds)

    monkeypatch.setattr(Sighting, "of", counted)
    follower = Follower(KEPT)
    sightings = follower.follow(film[:8], times(8), True) + follower.follow(
        film[8:], [8 / 25 + time for time in times(6)], False
    )
    assert len(looks) == 5  # Of 14 frames: 0, 4, 7, 11 and 13.
    middles = [
        width * sighting.heads[0].middle[0] for width, sighting in [(240, s) for s in sightings]
    ]
    assert np.allclose(np.diff(middles), -2, atol=1.5)
    assert follower.missed == []
    assert all(len(sighting.heads) == 1 for sighting in sightings)


def test_what_is_missed_for_a_moment_fades_slowly_and_comes_back() -> None:
    last = Sighting((head(0.5),), np.full((8, 8), 0.8, np.float32))
    gone = calmed(last, Sighting(), 0.16)
    assert gone.heads == (head(0.5, 0.75),)
    assert gone.people is last.people
    back = calmed(gone, Sighting((head(0.5),), last.people), 0.16)
    assert 0.75 < back.heads[0].weight <= 1
    for _ in range(20):
        gone = calmed(gone, Sighting(), 0.16)
    assert gone.heads[0].weight == 0


def test_what_trembles_is_calmed_and_what_moves_is_followed() -> None:
    people = np.zeros((8, 8), np.float32)
    last = Sighting((head(0.5),), people)
    near = calmed(last, Sighting((head(0.502),), people + 0.1), 0.1)
    assert 0.5 < near.heads[0].middle[0] < 0.5015
    assert 0 < near.people.max() < 0.08  # type: ignore[union-attr]
    far = calmed(last, Sighting((head(0.55), head(0.9)), people + 1), 0.1)
    assert far.heads[0].middle[0] == pytest.approx(0.55)
    assert far.people.min() == 1  # type: ignore[union-attr]
    assert 0 < far.heads[1].weight < 1
    half = blended(last, far, 0.5)
    assert half.heads[0].middle[0] == pytest.approx(0.525)
    assert half.heads[1].weight == pytest.approx(far.heads[1].weight / 2)
    assert half.people.min() == 0.5  # type: ignore[union-attr]


def test_a_cut_forgets(film: list[NDArray[np.uint8]]) -> None:
    follower = Follower(KEPT)
    follower.follow(film[:2], times(2), True)
    (sighting,) = follower.follow([np.full_like(film[0], 90)], [0.08], True)
    assert sighting.heads == ()


def test_a_sighting_is_kept_whole() -> None:
    sighting = Sighting((head(0.5), head(0.7, 0.25)), np.full((8, 8), 0.5, np.float32))
    again = unpack_sighting(pack_sighting(sighting))
    assert again.heads == sighting.heads
    assert np.array_equal(again.people, sighting.people)  # type: ignore[arg-type]
    assert unpack_sighting(pack_sighting(Sighting())).people is None


def test_a_film_without_people_stays_as_it_is_where_these_alone_are_painted(
    style: StyleStatistics,
) -> None:
    field = placed([style], [Sighting()], Controls(only="person"), (16, 16))
    assert field is not None and field.strength is not None and not field.strength.any()
    assert placed([style], [Sighting()], Controls(only="background"), (16, 16)) is None
    assert placed([style], [Sighting()], KEPT, (16, 16)) is None


def test_a_kept_face_stays_the_same_in_a_film(
    tiny_model: Model, film: list[NDArray[np.uint8]], style: StyleStatistics
) -> None:
    painted = list(paint_frames(tiny_model, film, style, controls=KEPT))
    follower = Follower(KEPT)
    for frame, result, sighting in zip(
        film, painted, follower.follow(film, times(14), True), strict=True
    ):
        rows = sighting.rows("face", frame.shape[:2])
        assert rows is not None
        mask = rows(0, frame.shape[0])
        change = np.abs(result.astype(int) - frame)
        assert change[mask > 0.98].mean() < 4 < change[mask == 0].mean()


def test_a_film_goes_on_with_the_faces_that_it_had(
    tiny_model: Model, film: list[NDArray[np.uint8]], style: StyleStatistics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("adain.video.frames.WINDOW", 8)
    shown = [Shown(frame, i / 25) for i, frame in enumerate(film)]
    direction = Direction(((0.0, stack_styles([style, style])),), ((0.0, 1.0),))
    controls = Controls(regions=("person", "rest"), keep="face")
    painter = FilmPainter(tiny_model, direction, controls)
    whole = list(painter.paint(shown))
    state = whole[7].state
    assert state is not None and state.sighting is not None
    rest = list(FilmPainter(tiny_model, direction, controls).paint(shown[8:], state))
    for first, second in zip(whole[8:], rest, strict=True):
        assert np.abs(first.pixels.astype(int) - second.pixels).max() <= 1


def test_who_is_not_asked_for_is_not_looked_for(
    tiny_model: Model, style: StyleStatistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "adain.video.following", None)
    frames = [np.full((32, 32, 3), 100, np.uint8)]
    assert len(list(paint_frames(tiny_model, frames, style))) == 1


def test_a_film_without_faces_says_so(tiny_model: Model, style: StyleStatistics) -> None:
    direction, notes = Direction(((0.0, style),), ((0.0, 1.0),)), list[str]()
    controls = Controls(keep="face")
    ramp = np.full((32, 32, 3), np.arange(60, 188, 4)[:, None], np.uint8)
    frames = [Shown(ramp, i / 25) for i in range(3)]
    list(FilmPainter(tiny_model, direction, controls, notice=notes.append).paint(frames))
    assert notes == ["no face found in any frame"]
