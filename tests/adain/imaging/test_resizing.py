from collections.abc import Callable

import numpy as np
import pytest
import torch
from drawings import levels, picture_of
from PIL import Image

from adain.imaging.picture import Picture
from adain.imaging.pillow import from_image
from adain.imaging.resizing import resize_image, resize_shorter_side


@pytest.mark.parametrize(
    ("size", "side", "longer", "shorter"),
    [
        ((100, 200), 50, (25, 50), (50, 100)),
        ((200, 100), 50, (50, 25), (100, 50)),
        ((100, 200), 150, (75, 150), (100, 200)),
        ((100, 200), 200, (100, 200), (100, 200)),
        ((100, 200), 999, (100, 200), (100, 200)),
        ((20, 800), 100, (16, 100), (20, 800)),
        ((20, 800), 16, (16, 16), (16, 640)),
        ((8, 100), 50, (8, 50), (8, 100)),
        ((99, 301), 100, (33, 100), (99, 301)),
    ],
)
def test_resizing_shrinks_to_the_side_and_never_enlarges(
    size: tuple[int, int], side: int, longer: tuple[int, int], shorter: tuple[int, int]
) -> None:
    picture = picture_of(*size)
    assert resize_image(picture, side).pixels.shape[2:] == longer
    assert resize_shorter_side(picture, side).pixels.shape[2:] == shorter


def test_resizing_averages_instead_of_skipping_pixels() -> None:
    stripes = torch.arange(256).remainder(4).eq(0).float().expand(1, 3, 64, 256)
    small = resize_image(Picture(stripes), 64).pixels
    assert abs(small[..., 2:-2] - 0.25).max() < 0.05  # The border sees fewer pixels.


def test_resizing_stays_in_range_and_keeps_the_name() -> None:
    checks = torch.kron(torch.eye(2).repeat(4, 4), torch.ones(16, 16)).expand(1, 3, -1, -1)
    small = resize_image(Picture(checks, None, "checks.png"), 61)
    assert (small.pixels.min().item(), small.pixels.max().item()) == (0, 1)
    assert small.name == "checks.png"


def test_resizing_keeps_the_fill_of_clear_pixels_out_of_the_edges() -> None:
    colors = np.zeros((64, 64, 4), np.uint8)
    colors[:, :31] = (255, 0, 0, 255)
    colors[:16, 40:] = (0, 0, 255, 255)
    small = resize_image(from_image(Image.fromarray(colors)), 32)
    assert small.transparency is not None
    visible = (small.transparency > 0.02)[0, 0]
    visible[:, 18:] = False  # The blue part.
    assert abs(levels(small)[visible.numpy()] - [255, 0, 0]).max() < 1
    assert small.transparency.shape == (1, 1, 32, 32)


@pytest.mark.parametrize("resize", [resize_image, resize_shorter_side])
def test_a_side_below_what_the_network_takes_is_a_value_error(
    resize: Callable[[Picture, int], Picture],
) -> None:
    with pytest.raises(ValueError, match="at least 16 pixels, got 15"):
        resize(picture_of(20, 20), 15)
