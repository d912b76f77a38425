import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adain.imaging.enlarging import Enlarged
from adain.imaging.picture import Picture
from adain.imaging.resizing import resize_pixels
from adain.painting.strokes import MAX_SIDE, STROKE_SIDE, needed_side, working_side

Pixels = NDArray[np.float32]


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).random((height, width, 3), np.float32)


def test_small_photos_are_stylized_as_they_are_and_large_ones_at_one_size() -> None:
    assert [working_side(side, side, 1) for side in (300, 1024, 1025, 9000)] == [
        300,
        1024,
        STROKE_SIDE,
        STROKE_SIDE,
    ]


def test_the_stroke_scales_the_picture_that_the_network_sees() -> None:
    assert [working_side(4000, 4000, stroke) for stroke in (0.5, 2, 4)] == [2048, 512, 256]
    assert working_side(600, 600, 0.5) == 1200
    assert working_side(4000, 1500, 0) == 1500
    assert working_side(1024, 1024, 0.0001) == MAX_SIDE


@given(side=st.integers(16, 20000), result=st.integers(16, 20000), stroke=st.floats(0.125, 8))
def test_it_does_not_depend_on_the_size_of_the_result(
    side: int, result: int, stroke: float
) -> None:
    assert working_side(side, result, stroke) == working_side(side, side, stroke)


@given(
    low=st.tuples(st.integers(2, 20), st.integers(2, 20)),
    factor=st.floats(1, 9),
    cut=st.floats(0, 1, exclude_max=True),
)
def test_rows_are_enlarged_as_the_whole_is(low: tuple[int, int], factor: float, cut: float) -> None:
    height, width = (round(side * factor) for side in low)
    enlarged, top = Enlarged(noise(*low), height, width), int(cut * height)
    np.testing.assert_allclose(enlarged[top:height], enlarged[:][top:], atol=1e-5)


@given(photo=st.integers(16, 20000), result=st.integers(16, 20000), stroke=st.floats(0, 8))
def test_a_photo_scaled_to_the_needed_side_is_seen_as_the_whole_one(
    photo: int, result: int, stroke: float
) -> None:
    stroke = stroke if stroke >= 0.125 else 0
    scaled = min(photo, needed_side(result, stroke))
    side = min(photo, result)
    assert min(scaled, result) == side
    assert working_side(scaled, side, stroke) == working_side(photo, side, stroke)


def waves(height: int, width: int) -> Pixels:
    y, x = np.linspace(0, 6, height)[:, None], np.linspace(0, 9, width)
    waves = np.dstack([np.sin(y + k * x) * 0.3 + 0.5 for k in (1, 2, 3)])
    return waves.astype(np.float32)


def enlarge(pixels: Pixels, height: int, width: int) -> Pixels:
    return Enlarged(pixels, height, width)[:]


def transfer_detail(photo: Pixels, working: Pixels, painted: Pixels) -> Pixels:
    return Picture(photo, change=Enlarged(painted - working, *photo.shape[:2])).pixels


def test_scaled_down_the_result_is_what_was_painted() -> None:
    photo = (waves(240, 320) + 0.1 * (noise(240, 320) - 0.5)).clip(0, 1)
    working = resize_pixels(photo, (60, 80))
    painted = (1 - working) * 0.6 + 0.2
    result = transfer_detail(photo, working, painted)
    assert np.abs(resize_pixels(result, (60, 80)) - painted).mean() < 2 / 255
    detail = photo - enlarge(working, 240, 320)
    assert np.abs(result - enlarge(painted, 240, 320) - detail).mean() < 1e-3


def test_where_nothing_is_painted_the_photo_stays_to_the_bit() -> None:
    photo = noise(50, 70)
    working = resize_pixels(photo, (20, 28))
    assert np.array_equal(transfer_detail(photo, working, working), photo)


def test_any_rows_of_the_result_are_those_of_the_whole() -> None:
    result = Picture(noise(50, 70), change=Enlarged(noise(20, 28) - 0.5, 50, 70))
    for top, bottom in ((0, 1), (7, 31), (49, 50)):
        rows = result.pixels[top:bottom]
        np.testing.assert_allclose(result.rows(top, bottom), rows, atol=1e-6)
