import errno
import os
import struct
import sys
import threading
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from drawings import (
    ALPHA,
    GREY,
    HEIGHT,
    SMOOTH,
    SRGB_TO_XYZ,
    WIDTH,
    encoded,
    icc_profile,
    png,
    time_limit,
    with_alpha,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from adain.errors import ImageError, ImageTooLargeError
from adain.imaging.reading import ImageLimits, load_image


@pytest.mark.parametrize(
    ("side", "depth", "limits"),
    [(13_000, 8, ImageLimits(max_pixels=50_000_000)), (50_000, 1, ImageLimits())],
)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    side: int, depth: int, limits: ImageLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = png(side, side, depth, kind=0)
    assert len(bomb) < 500_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(
        ImageTooLargeError, match=r"^bomb\.png: .*pixels.*; give a smaller version$"
    ):
        load_image(bomb, limits, "bomb.png")


@pytest.mark.parametrize(
    ("size", "limits", "error"),
    [
        ((40, 30), ImageLimits(max_pixels=1199), ImageTooLargeError),
        ((40, 30), ImageLimits(max_pixels=1200), None),
        ((40, 30), ImageLimits(max_side=39), ImageTooLargeError),
        ((30, 40), ImageLimits(max_side=39), ImageTooLargeError),
        ((30, 40), ImageLimits(max_side=40), None),
        ((15, 40), ImageLimits(), ImageError),
        ((16, 16), ImageLimits(), None),
        ((801, 16), ImageLimits(), ImageError),
        ((16, 800), ImageLimits(), None),
        ((40, 30), ImageLimits(max_bytes=50), ImageTooLargeError),
    ],
)
def test_limits_are_exact(
    size: tuple[int, int], limits: ImageLimits, error: type[ImageError] | None
) -> None:
    data = encoded(Image.new("RGB", size), "PNG")
    if error is None:
        assert load_image(data, limits).pixels.shape == (size[1], size[0], 3)
    else:
        with pytest.raises(error) as caught:
            load_image(data, limits, "photo.png")
        assert type(caught.value) is error
        assert str(caught.value).startswith("photo.png: ")


def test_pillow_never_warns_and_its_settings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    before = list(warnings.filters)
    data = encoded(SMOOTH, "PNG")
    threads = [
        threading.Thread(target=lambda: [load_image(data) for _ in range(50)]) for _ in range(8)
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inside = list(warnings.filters)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == inside
    assert not caught
    assert warnings.filters == before
    assert Image.MAX_IMAGE_PIXELS == HEIGHT * WIDTH - 1
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; get the file again"),
        (b"hello", "cannot be read as JPEG, PNG, "),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "; convert it to one of them"),
        (b"8BPS\0\1" + bytes(100), "; convert it to one of them"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", "; convert it to one of them"),
        (encoded(SMOOTH, "PPM"), "; convert it to one of them"),
        (encoded(SMOOTH, "JPEG")[:-30], "damaged or incomplete; get the file again"),
        (encoded(SMOOTH, "PNG")[:-30], "damaged or incomplete; get the file again"),
    ],
)
@pytest.mark.parametrize("name", ["photo.jpg", "two\nlines\x1b[2J.png"])
def test_unreadable_content_is_one_line_with_the_name_and_a_remedy(
    content: bytes, reason: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    with pytest.raises(ImageError) as caught:
        load_image(Path(name))
    text = str(caught.value)
    assert text.startswith(name if name.isprintable() else ascii(name))
    assert reason in text
    assert text.isprintable()
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("nothing.png", "No such file or directory"),
        ("folder", "Is a directory"),
        ("file/below.png", "Not a directory"),
        ("x" * 400, "File name too long"),
        ("null\0.png", "not a valid path"),
        ("", "No such file or directory"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the texts are those of Linux")
def test_a_path_without_a_readable_file_is_one_line_with_a_remedy(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    with pytest.raises(ImageError) as caught:
        load_image(source)
    name = source if source.isprintable() and source else ascii(source)
    assert str(caught.value) == (
        f"{name}: cannot be read ({reason}); check the path and its permissions"
    )


def test_a_file_without_permission_is_an_image_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageError, match="Permission denied"):
        load_image(tmp_path / "secret.png")


def test_a_stream_that_fails_is_an_image_error() -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(ImageError, match=r"^upload: cannot be read \(Input/output error\)"):
        load_image(Broken(), name="upload")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "not enough memory to decode it; shrink it first"),
        (KeyError("x"), "damaged or incomplete; get the file again"),
        (struct.error(), "damaged or incomplete; get the file again"),
        (RecursionError(), "damaged or incomplete; get the file again"),
    ],
)
def test_whatever_a_decoder_raises_is_an_image_error(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    data = encoded(SMOOTH, "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ImageError, match=f"^picture: {reason}$") as caught:
        load_image(data)
    assert caught.value.__cause__ is error


SEEDS = {
    "jpeg": encoded(SMOOTH, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    "progressive": encoded(SMOOTH, "JPEG", progressive=True),
    "cmyk": encoded(SMOOTH.convert("CMYK"), "JPEG"),
    "png": encoded(with_alpha(ALPHA), "PNG", icc_profile=icc_profile(b"RGB ", 2, SRGB_TO_XYZ)),
    "palette": encoded(SMOOTH.quantize(16), "PNG", transparency=bytes(range(16))),
    "grey16": encoded(Image.fromarray((GREY * 3000).astype(np.uint16)), "PNG", transparency=3000),
    "apng": encoded(SMOOTH, "PNG", save_all=True, append_images=[SMOOTH.rotate(180)]),
    "webp": encoded(with_alpha(ALPHA), "WEBP"),
    "lossless": encoded(SMOOTH, "WEBP", lossless=True),
    "tiff": encoded(with_alpha(ALPHA), "TIFF"),
    "lzw": encoded(SMOOTH, "TIFF", compression="tiff_lzw"),
    "float": encoded(SMOOTH.convert("F"), "TIFF"),
    "bmp": encoded(SMOOTH, "BMP"),
    "gif": encoded(SMOOTH.quantize(16), "GIF", transparency=2),
    "avif": encoded(with_alpha(ALPHA), "AVIF"),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_truncated_file_is_an_error_or_the_whole_picture(seed: str) -> None:
    whole = load_image(SEEDS[seed])
    for length in range(0, len(SEEDS[seed]), 3):
        try:
            with time_limit():
                picture = load_image(SEEDS[seed][:length])
        except ImageError:
            continue
        assert np.array_equal(picture.pixels, whole.pixels)


@settings(max_examples=400)
@given(
    seed=st.sampled_from(sorted(SEEDS)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.floats(0.3, 1),
)
def test_damaged_bytes_give_a_picture_or_an_image_error(
    seed: str, changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(SEEDS[seed])
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        with time_limit():
            picture = load_image(bytes(data[: int(kept * len(data))]))
    except ImageError as error:
        assert str(error).isprintable()
        return
    assert picture.pixels.dtype == np.float32
    assert 0 <= picture.pixels.min() <= picture.pixels.max() <= 1


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_an_image_error(data: bytes) -> None:
    with time_limit(), pytest.raises(ImageError):
        load_image(data)
