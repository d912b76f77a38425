import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from adain.imaging.enlarging import Enlarged
from adain.imaging.picture import Picture
from adain.painting.strokes import MAX_SIDE, STROKE_SIDE, needed_side, working_side


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
    image = torch.rand(1, 3, *low)
    height, width = (round(side * factor) for side in low)
    whole = F.interpolate(image, (height, width), mode="bicubic")
    rows = slice(int(cut * height), height)
    enlarged = Enlarged(image, height, width)[rows].permute(2, 0, 1)[None]
    torch.testing.assert_close(enlarged, whole[:, :, rows], atol=1e-5, rtol=0)


@given(photo=st.integers(16, 20000), result=st.integers(16, 20000), stroke=st.floats(0, 8))
def test_a_photo_scaled_to_the_needed_side_is_seen_as_the_whole_one(
    photo: int, result: int, stroke: float
) -> None:
    stroke = stroke if stroke >= 0.125 else 0
    scaled = min(photo, needed_side(result, stroke))
    side = min(photo, result)
    assert min(scaled, result) == side
    assert working_side(scaled, side, stroke) == working_side(photo, side, stroke)


def waves(height: int, width: int) -> torch.Tensor:
    y, x = torch.linspace(0, 6, height)[:, None], torch.linspace(0, 9, width)
    return torch.stack([torch.sin(y + k * x) * 0.3 + 0.5 for k in (1, 2, 3)])[None]


def transfer_detail(
    photo: torch.Tensor, working: torch.Tensor, painted: torch.Tensor
) -> torch.Tensor:
    return Picture(photo, change=Enlarged(painted - working, *photo.shape[2:])).pixels


def test_scaled_down_the_result_is_what_was_painted() -> None:
    photo = (waves(240, 320) + 0.1 * (torch.rand(1, 3, 240, 320) - 0.5)).clamp(0, 1)
    working = F.interpolate(photo, (60, 80), mode="bicubic", antialias=True)
    painted = (1 - working) * 0.6 + 0.2
    result = transfer_detail(photo, working, painted)
    again = F.interpolate(result, (60, 80), mode="bicubic", antialias=True)
    assert (again - painted).abs().mean() < 2 / 255
    detail = photo - F.interpolate(working, (240, 320), mode="bicubic")
    enlarged = F.interpolate(painted, (240, 320), mode="bicubic")
    assert (result - enlarged - detail).abs().mean() < 1e-3


def test_where_nothing_is_painted_the_photo_stays_to_the_bit() -> None:
    photo = torch.rand(1, 3, 50, 70)
    working = F.interpolate(photo, (20, 28), mode="bicubic", antialias=True)
    assert torch.equal(transfer_detail(photo, working, working), photo)


def test_any_rows_of_the_result_are_those_of_the_whole() -> None:
    photo, change = torch.rand(1, 3, 50, 70), torch.rand(1, 3, 20, 28) - 0.5
    result = Picture(photo, change=Enlarged(change, 50, 70))
    for top, bottom in ((0, 1), (7, 31), (49, 50)):
        torch.testing.assert_close(result.rows(top, bottom), result.pixels[:, :, top:bottom])
