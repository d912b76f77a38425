from typing import Any

import numpy as np
import pytest
from drawings import (
    ALPHA,
    COLORS,
    HEIGHT,
    SMOOTH,
    SRGB_TO_XYZ,
    STORED,
    WIDTH,
    alpha_levels,
    encoded,
    icc_profile,
    levels,
    srgb_levels,
    time_limit,
    with_alpha,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adain.errors import ImageError
from adain.imaging.reading import SUFFIXES, load_image
from adain.imaging.writing import WRITABLE


def heic(image: Image.Image, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    return encoded(image, "HEIF", **options)


@pytest.mark.parametrize("orientation", STORED)
def test_heic_is_read_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](COLORS)))
    picture = load_image(heic(stored, exif=exif.tobytes(), quality=95))
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3)
    assert abs(levels(picture) - COLORS).mean() < 4


def test_heic_keeps_its_transparency_and_its_profile() -> None:
    picture = load_image(heic(with_alpha(ALPHA), quality=-1))
    assert abs(alpha_levels(picture) - ALPHA).max() < 3
    profile = icc_profile(b"RGB ", 1.0, SRGB_TO_XYZ)
    linear = load_image(heic(SMOOTH, quality=95, icc_profile=profile))
    assert abs(levels(linear) - srgb_levels(COLORS / 255)).mean() < 4


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(SMOOTH)
    monkeypatch.setattr("adain.imaging.reading._reads_heif", lambda: False)
    with pytest.raises(ImageError, match=r"is HEIC; run: .*adain\[heic\]"):
        load_image(data)


def test_heic_is_found_in_folders_and_not_written() -> None:
    assert {".heic", ".heif"} <= SUFFIXES - WRITABLE


@settings(max_examples=60)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.floats(0.3, 1),
)
def test_damaged_heic_gives_a_picture_or_an_image_error(
    changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(heic(SMOOTH))
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        with time_limit():
            picture = load_image(bytes(data[: int(kept * len(data))]))
    except ImageError as error:
        assert str(error).isprintable()
        return
    assert picture.pixels.min() >= 0 and picture.pixels.max() <= 1
