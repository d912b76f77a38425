"""Cuts on generated frames: hard cuts, fades, flashes, pans, noise."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from adain.video.shots import Glance, mark_cuts

Frames = list[NDArray[np.uint8]]


def scene(seed: int, width: int = 160, height: int = 96) -> NDArray[np.uint8]:
    """Coarse shapes of colours of their own."""
    rng = np.random.default_rng(seed)
    tint = rng.integers(0, 128, 3)
    coarse = (rng.integers(0, 128, (5, 8, 3)) + tint).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def cuts(frames: Sequence[NDArray[np.uint8]]) -> list[int]:
    marked = mark_cuts(frames, Glance.of)
    return [i for i, (_, _, cut) in enumerate(marked) if cut]


def faded(first: NDArray[np.uint8], second: NDArray[np.uint8], count: int) -> Frames:
    shares = np.linspace(0, 1, count)
    mixed = [(1 - s) * first.astype(float) + s * second.astype(float) for s in shares]
    return [np.rint(each).astype(np.uint8) for each in mixed]


@pytest.mark.parametrize("seed", range(5))
def test_a_hard_cut_is_found_and_nothing_else(seed: int) -> None:
    first, second = scene(2 * seed), scene(2 * seed + 1)
    assert cuts([first] * 9 + [second] * 9) == [9]
    assert cuts([first] * 2 + [second] * 2) == [2]
    assert cuts([first] * 7 + [second]) == [7]


def test_a_dissolve_and_fades_through_black_have_no_cut() -> None:
    first, second, black = scene(0), scene(1), np.zeros_like(scene(0))
    assert not cuts(faded(first, second, 12))
    assert not cuts([*faded(first, black, 12), black, *faded(black, second, 12)])


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut(length: int) -> None:
    still = scene(3)
    white = np.full_like(still, 250)
    bright = (still // 3 + 165).astype(np.uint8)
    for flash in (white, bright):
        assert not cuts([still] * 8 + [flash] * length + [still] * 8)


def test_pans_shakes_noise_and_exposure_are_no_cuts() -> None:
    wide, rng = scene(4, 640, 96), np.random.default_rng(0)
    assert not cuts([wide[:, 12 * i : 12 * i + 160] for i in range(30)])
    places = rng.integers(0, 40, 20)
    assert not cuts([wide[:, x : x + 160] for x in places])
    noisy = [(wide[:, :160] + rng.normal(0, 12, (96, 160, 3))).clip(0, 255) for _ in range(12)]
    assert not cuts([each.astype(np.uint8) for each in noisy])
    assert not cuts([(wide[:, :160] * (0.5 + 0.04 * i)).astype(np.uint8) for i in range(12)])


def test_what_came_before_counts_for_the_first_frame() -> None:
    first, second = scene(0), scene(1)
    glances = [Glance.of(first)] * 3
    marked = list(mark_cuts([second] * 6, Glance.of, glances))
    assert [cut for *_, cut in marked] == [True] + [False] * 5


def test_frames_of_any_type_are_seen_alike() -> None:
    image = scene(5)
    glances = [Glance.of(image), Glance.of(image.astype(np.uint16) * 257), Glance.of(image / 255)]
    assert all(glances[0].moved(each) < 1e-3 for each in glances)
    assert Glance.of(np.zeros((16, 900, 3), np.uint8)).is_flat
    assert not glances[0].is_flat


@pytest.mark.parametrize("over", [0.0, 0.5, 1.0])
def test_a_fade_shows_less_of_the_same_under_grey(over: float) -> None:
    rng = np.random.default_rng(0)
    scene = np.repeat(np.repeat(rng.random((9, 16, 3)), 8, 0), 8, 1)
    whole = Glance.of(scene)
    faded = [Glance.of(share * scene + (1 - share) * over) for share in (0.9, 0.5, 0.1, 0.0)]
    assert all(each.is_fade_of(whole) for each in faded)
    assert not whole.is_fade_of(faded[0])  # It comes back.
    assert not Glance.of(0.5 * scene[:, ::-1] + 0.5 * over).is_fade_of(whole)
    assert not Glance.of(0.5 * scene + 0.5 * np.array([over, 0.2, 0.8])).is_fade_of(whole)
