"""Frames of a film: what stays the same is painted the same, and shots begin anew."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import adain
from adain.config import Controls
from adain.engine.model import Model
from adain.errors import MaskError
from adain.imaging.picture import Picture
from adain.imaging.writing import encode_image
from adain.painting.stylize import stylize_picture
from adain.painting.tiling import measure_pixels
from adain.styles.statistics import StyleStatistics, stack_styles
from adain.video import frames as frames_module
from adain.video.direction import Direction
from adain.video.flow import Stabilizer
from adain.video.frames import FilmPainter, Shown, paint_frames

Frames = list[NDArray[np.uint8]]

SLICE = Path(__file__).parent / "data" / "slice.png"


def scene(seed: int, width: int = 64, height: int = 40) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = (rng.integers(0, 128, (5, 8, 3)) + rng.integers(0, 128, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def style(model: Model, seed: int = 9) -> StyleStatistics:
    return measure_pixels(model, Picture(scene(seed)).pixels)


def differ(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    return float(np.abs(first.astype(float) - second).mean())


def test_one_frame_is_painted_as_a_photo(tiny_model: Model) -> None:
    (result,) = paint_frames(tiny_model, [scene(0)], style(tiny_model))
    photo = stylize_picture(tiny_model, Picture(scene(0)), style(tiny_model))
    assert np.abs(result.astype(int) - photo.to_array()).max() <= 1


@pytest.mark.parametrize("stable", [False, True])
def test_a_still_camera_gives_identical_results(tiny_model: Model, stable: bool) -> None:
    if stable:
        pytest.importorskip("cv2")
    first, second = scene(0), scene(1)
    film = [first] * 70 + [second] * 3
    results = list(paint_frames(tiny_model, film, style(tiny_model), stable=stable, jobs=2))
    assert len(results) == 73
    same = [np.array_equal(each, results[0]) for each in results[:70]]
    assert all(same) or (stable and max(differ(results[0], r) for r in results[:70]) < 0.2)
    (alone,) = paint_frames(tiny_model, [second], style(tiny_model))
    assert differ(results[70], alone) < 0.5  # A shot begins: nothing is left of the first one.


def test_what_passes_by_does_not_change_the_rest(tiny_model: Model) -> None:
    still = scene(0, 64, 120)
    passing = [still.copy() for _ in range(20)]
    for i, frame in enumerate(passing):
        frame[:16, : 3 * i] = 255
    results = list(paint_frames(tiny_model, passing, style(tiny_model)))
    apart = [stylize_picture(tiny_model, Picture(f), style(tiny_model)) for f in passing]
    calm = np.mean([differ(a[90:], b[90:]) for a, b in pairwise(results)])
    single = [each.to_array() for each in apart]
    loose = np.mean([differ(a[90:], b[90:]) for a, b in pairwise(single)])
    assert calm == 0 or calm < 0.2 * loose


def test_slow_change_is_followed_without_a_jump(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "WINDOW", 8)
    first, second = scene(0).astype(float), scene(1)
    shares = np.clip((np.arange(64) - 8) / 40, 0, 1)
    film = [np.rint((1 - s) * first + s * second).astype(np.uint8) for s in shares]
    results = list(paint_frames(tiny_model, film, style(tiny_model)))
    steps = [differ(a, b) for a, b in pairwise(results)]
    (alone,) = paint_frames(tiny_model, [second], style(tiny_model))
    assert max(steps) < 6 * np.mean(steps) + 0.5
    assert differ(results[-1], alone) < 3


def test_styles_and_strengths_move_with_time(tiny_model: Model) -> None:
    one, two, still = style(tiny_model, 8), style(tiny_model, 9), scene(0)
    plan = Direction(((0, one), (2, two)), ((0, 1.0), (4, 1.0), (5, 0.3)), fade=1.0)
    results = list(paint_frames(tiny_model, [still] * 60, plan, rate=10))
    for number, expected, alpha in ((5, one, 1.0), (35, two, 1.0), (59, two, 0.3)):
        (alone,) = paint_frames(tiny_model, [still], expected, alpha=alpha)
        assert differ(results[number], alone) < 1, number
    steps = [differ(a, b) for a, b in pairwise(results)]
    assert max(steps[:15]) == 0 and 0 < max(steps) < 20
    with pytest.raises(ValueError, match="must rise"):
        Direction(((0, one), (0, two)))
    with pytest.raises(ValueError, match="alpha"):
        Direction(((0, one),), ((0, 9.0),))


def test_masks_colours_transparency_and_types_are_kept(tiny_model: Model) -> None:
    half = np.zeros((40, 64, 3), np.uint8)
    half[:, 32:] = 255
    mask = encode_image(Picture(half), "png")
    both = stack_styles([style(tiny_model, 8), style(tiny_model, 9)])
    controls = Controls(masks=(mask,), preserve_color="linear", smooth=0.5, feather=0)
    opaque = np.concatenate((scene(0), np.full((40, 64, 1), 200, np.uint8)), axis=2)
    results = list(paint_frames(tiny_model, [opaque] * 3, both, controls=controls))
    assert all(each.shape == (40, 64, 4) and (each[..., 3] == 200).all() for each in results)
    photo = stylize_picture(tiny_model, Picture(scene(0)), both, controls=controls)
    assert np.abs(results[1][..., :3].astype(int) - photo.to_array()).mean() < 3
    deep = scene(0).astype(np.uint16) * 257
    (result,) = paint_frames(tiny_model, [deep], style(tiny_model))
    assert result.dtype == np.uint16
    (unit,) = paint_frames(tiny_model, [scene(0).astype(np.float32) / 255], style(tiny_model))
    assert unit.dtype == np.float32 and np.abs(unit * 65535 - result).max() < 300


def test_masks_may_move_with_the_frames(tiny_model: Model) -> None:
    both = stack_styles([style(tiny_model, 8), style(tiny_model, 9)])
    halves = np.zeros((2, 40, 64), np.uint8)
    halves[0, :, :32] = halves[1, :, 32:] = 255
    still = [scene(0)] * 3
    masks = tuple(encode_image(Picture(np.dstack([half] * 3)), "png") for half in halves)
    fixed = paint_frames(tiny_model, still, both, controls=Controls(masks=masks, feather=0))
    given = paint_frames(tiny_model, still, both, masks=[halves] * 3)
    assert max(map(differ, given, fixed)) < 0.1
    moved = [np.roll(halves[:1], 8 * i, 2) for i in range(3)]
    for mask, result in zip(
        moved, paint_frames(tiny_model, still, both.split()[0], masks=moved), strict=True
    ):
        assert differ(result[mask[0] == 0], scene(0)[mask[0] == 0]) < 0.1
        assert differ(result[mask[0] > 0], scene(0)[mask[0] > 0]) > 2
    with pytest.raises(MaskError, match="expected masks"):
        list(paint_frames(tiny_model, still, both, masks=[halves] * 2))


def test_frames_are_read_as_they_are_needed_and_must_be_of_one_shape(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "WINDOW", 8)
    read = 0

    def endless() -> Iterator[NDArray[np.uint8]]:
        nonlocal read
        while True:
            read += 1
            yield scene(0)

    results = paint_frames(tiny_model, endless(), style(tiny_model))
    for _ in range(20):
        next(results)
    results.close()  # type: ignore[attr-defined]
    assert read < 50
    with pytest.raises(ValueError, match="differ in shape"):
        list(paint_frames(tiny_model, [scene(0), scene(0, 80)], style(tiny_model)))


def test_another_run_goes_on_as_if_there_were_one(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setattr(frames_module, "WINDOW", 8)
    wide = scene(2, 160)
    film = [Shown(wide[:, i : i + 64].copy(), i / 25) for i in range(40)]
    plan = Direction(((0, style(tiny_model)),))
    whole = list(FilmPainter(tiny_model, plan, stable=True).paint(film))
    ends = [i for i, each in enumerate(whole) if each.state]
    assert len(ends) == 5
    rest = FilmPainter(tiny_model, plan, stable=True).paint(film[16:], whole[15].state)
    assert all(differ(a.pixels, b.pixels) < 0.2 for a, b in zip(rest, whole[16:], strict=True))


def test_another_run_goes_on_after_what_shows_nothing(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "WINDOW", 8)
    black, one, two = np.zeros((40, 64, 3), np.uint8), scene(1), scene(2)
    rising = [np.rint(share * two).astype(np.uint8) for share in np.linspace(0, 1, 20)]
    frames = [black] * 10 + [one] * 14 + [black] * 20 + rising + [two] * 20
    film = [Shown(frame, number / 25) for number, frame in enumerate(frames)]
    plan = Direction(((0, style(tiny_model)),))
    whole = list(FilmPainter(tiny_model, plan).paint(film))
    ends = [i for i, each in enumerate(whole[:-1], 1) if each.state]
    assert len(ends) > 3
    for end in ends:
        rest = FilmPainter(tiny_model, plan).paint(film[end:], whole[end - 1].state)
        for again, before in zip(rest, whole[end:], strict=True):
            assert differ(again.pixels, before.pixels) < 0.2


def test_the_library_paints_frames_in_one_call(tiny_model: Model) -> None:
    film = [scene(0)] * 3
    plan: dict[float, Any] = {0: scene(8), 0.05: style(tiny_model, 9)}
    results = list(adain.stylize_frames(film, plan, rate=20, fade=0.0, model=tiny_model))
    (first,) = paint_frames(tiny_model, film[:1], style(tiny_model, 8))
    (last,) = paint_frames(tiny_model, film[:1], style(tiny_model, 9))
    assert differ(results[0], first) < 1 and differ(results[2], last) < 1
    with pytest.raises(ValueError, match="alpha"):
        adain.stylize_frames(film, plan, alpha=9.0, model=tiny_model)


def test_frames_take_8_bits_unless_they_shall_be_exact() -> None:
    model, frame = adain.load_model(), scene(1, 96, 64)
    photo = stylize_picture(model, Picture(frame), style(model)).to_array()
    near, exact = (
        next(paint_frames(model, [frame], style(model), exact=each)) for each in (False, True)
    )
    np.testing.assert_array_equal(exact, photo)
    assert 0 < differ(near, photo) < 4


def test_8_bits_give_faint_frames_no_tint() -> None:
    model = adain.load_model()
    faint = np.rint(120 + 0.1 * (scene(1, 96, 64) - 128.0)).astype(np.uint8)
    near, exact = (
        next(paint_frames(model, [faint], style(model), exact=each)) for each in (False, True)
    )
    assert np.abs(near.mean((0, 1)) - exact.mean((0, 1))).max() < 2


@pytest.mark.parametrize("black", [0, 30])
@pytest.mark.parametrize("into", [0, 255])
def test_a_scene_that_fades_in_is_painted_as_it_will_be(black: int, into: int) -> None:
    model, full = adain.load_model(), scene(1, 96, 64)
    shares = np.concatenate((np.zeros(black), np.linspace(0, 1, 25), np.ones(20)))
    film = [np.rint(into + share * (full - float(into))).astype(np.uint8) for share in shares]
    results = list(paint_frames(model, film, style(model)))
    (alone,) = paint_frames(model, [full], style(model))
    assert differ(results[-1], alone) < 3 and differ(results[black + 25], alone) < 3
    levels = [each.mean() for each in results[black:]]
    assert all((b - a) * np.sign(alone.mean() - into) > -4 for a, b in pairwise(levels))
    assert abs(levels[0] - into) < 60 and max(map(differ, results[1:], results)) < 15


def test_a_scene_that_fades_out_and_comes_back_stays_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frames_module, "WINDOW", 8)
    model, full = adain.load_model(), scene(1, 96, 64)
    shares = np.concatenate((np.ones(9), np.linspace(1, 0, 20), np.linspace(0, 1, 20), np.ones(9)))
    film = [np.rint(share * full).astype(np.uint8) for share in shares]
    results = list(paint_frames(model, film, style(model)))
    assert max(differ(a, b) for a, b in zip(results, results[::-1], strict=True)) < 3
    assert results[29].mean() < 30


def test_what_shows_nothing_is_painted_as_what_is_around_it() -> None:
    model, full = adain.load_model(), scene(1, 96, 64)
    card, white = np.zeros_like(full), np.full_like(full, 255)
    results = list(paint_frames(model, [card] * 9 + [full] * 9 + [white] * 9, style(model)))
    assert results[0].mean() < 40 and results[-1].mean() > 180
    (alone,) = paint_frames(model, [full], style(model))
    assert differ(results[9], alone) < 3
    plain, told = [card] * 3 + [white] * 3, list[str]()
    painter = FilmPainter(model, Direction(((0, style(model)),)), notice=told.append)
    shown = [Shown(frame, number / 25) for number, frame in enumerate(plain)]
    for frame, painted in zip(plain, painter.paint(shown), strict=True):
        np.testing.assert_array_equal(frame, painted.pixels)
    assert told == ["6 frames show one colour alone, and stay as they are"]


def test_a_slice_over_time_is_as_it_was() -> None:
    """One row of a film over time, downwards: a pan, a cut, a still camera.

    Painted by a stand-in that makes its texture up anew in each frame, as networks do. If what is
    calm shall change, delete the picture, run this, and look at it.
    """
    pytest.importorskip("cv2")
    wide, still = scene(2, 240, 80), scene(3, 96, 80)
    film = [wide[:, 2 * i : 2 * i + 96] for i in range(24)] + [still] * 10
    noise, calm = np.random.default_rng(0), Stabilizer()
    made, results = [], []
    for number, frame in enumerate(film):
        source = frame.astype(np.float32) / np.float32(255)
        texture = noise.normal(0, 0.05, source.shape).astype(np.float32)
        painted = (source[..., ::-1] + texture).clip(0, 1)
        made.append(painted[40])
        results.append(calm(source, painted, begins=number == 24)[40])
    found = np.rint(255 * np.stack(results)).astype(np.uint8)
    if not SLICE.exists():
        Image.fromarray(found).save(SLICE)
        pytest.fail(f"{SLICE} was made anew; look at it, then run this again")
    with Image.open(SLICE) as image:
        assert differ(found, np.asarray(image)) < 1
    steps, loose = (np.abs(np.diff(each, axis=0)).mean((1, 2)) for each in (results, made))
    assert steps[24:].mean() < 0.4 * loose[24:].mean()  # Of a still camera: calm.
    assert np.allclose(results[24], made[24])  # Nothing of the first shot is in the second.


@settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.tuples(st.integers(16, 48), st.integers(16, 48)),
    shots=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    window=st.integers(8, 20),
    jobs=st.integers(1, 2),
    stable=st.booleans(),
)
def test_any_film_is_painted_frame_by_frame_in_order(
    tiny_model: Model,
    sizes: tuple[int, int],
    shots: list[int],
    window: int,
    jobs: int,
    stable: bool,
) -> None:
    """Whatever its size and its cuts: as many results, each of its frame, shots apart."""
    width, height = sizes
    film = [scene(shot, width, height) for shot, count in enumerate(shots) for _ in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "WINDOW", window)
        results = list(paint_frames(tiny_model, film, style(tiny_model), stable=stable, jobs=jobs))
    assert [each.shape for each in results] == [each.shape for each in film]
    for (one, a), (two, b) in pairwise(zip(film, results, strict=True)):
        assert np.array_equal(one, two) <= (differ(a, b) < 0.5)
