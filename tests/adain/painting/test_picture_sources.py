from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from adain.errors import ImageError
from adain.imaging.picture import Picture
from adain.painting.sources import picture_from_array, read_picture

COLORS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
CUTOUT = np.dstack((COLORS, np.where(np.arange(30) < 10, 0, 200).repeat(20).reshape(30, 20).T))


def test_whatever_gives_the_picture_it_is_the_same(tmp_path: Path) -> None:
    image = Image.fromarray(COLORS)
    image.save(tmp_path / "photo.png")
    data = (tmp_path / "photo.png").read_bytes()
    paths = (tmp_path / "photo.png", str(tmp_path / "photo.png"))
    for source in (*paths, data, BytesIO(data), image, COLORS, Picture(COLORS)):
        picture = read_picture(source)
        np.testing.assert_array_equal(picture.levels, COLORS)
        assert picture.levels.dtype == np.uint8 and picture.opacity is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_arrays_keep_their_colours_and_transparency(dtype: type[np.generic]) -> None:
    unit = CUTOUT / 255
    white = {np.uint8: 255, np.uint16: 65535}.get(dtype, 1)
    array = (np.rint(unit * white) if white > 1 else unit).astype(dtype)
    opaque, cutout = picture_from_array(array[..., :3]), picture_from_array(array)
    assert opaque.transparency is None and cutout.transparency is not None
    np.testing.assert_allclose(opaque.pixels, unit[..., :3], atol=1e-5)
    np.testing.assert_allclose(cutout.transparency, unit[..., 3], atol=1e-5)
    np.testing.assert_allclose(cutout.pixels[:, 10:], unit[:, 10:, :3], atol=1e-5)
    assert np.ptp(cutout.pixels[:, :10], axis=(0, 1)).max() == 0  # Clear pixels have one colour.


def test_a_picture_does_not_share_the_array_that_it_is_from() -> None:
    for array in (COLORS.copy(), (COLORS / 255).astype(np.float32)):
        picture = picture_from_array(array)
        before = picture.levels.copy()
        array[:] = 0
        np.testing.assert_array_equal(picture.levels, before)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((20, 20)), r"\(H, W, 3\)"),
        (np.zeros((0, 20, 3)), r"\(H, W, 3\)"),
        (np.zeros((20, 20, 3), int), "expected uint8"),
        (np.full((20, 20, 3), 1.5), "from 0 to 1"),
        (np.full((20, 20, 3), np.nan), "from 0 to 1"),
        (np.zeros((2, 20, 3), np.uint8), "too small"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array: NDArray[np.generic], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        read_picture(array)
