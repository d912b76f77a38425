"""Pictures of strangers are decoded where they can hurt nobody."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from adain.errors import ImageError, ImageTooLargeError
from adain.imaging.reading import ImageLimits, load_image
from gallery.web.decoding import MEMORY, Decode, PictureDecoder, open_image

LIMITS = ImageLimits(max_bytes=2**20, max_pixels=10**6)


def picture(mode: str = "RGB", format: str = "PNG", side: int = 48) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels, "RGBA").convert(mode).save(buffer, format)
    return buffer.getvalue()


def crash(data: bytes, limits: ImageLimits, name: str) -> Image.Image:
    if data == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"hang":
        time.sleep(60)
    if data == b"compute":
        while True:
            pass
    if data == b"memory":
        bytearray(MEMORY)
    if data == b"bug":
        raise KeyError("bug")
    return open_image(data, limits, name)


@pytest.fixture(scope="module")
def decoder() -> Iterator[PictureDecoder]:
    decoder = PictureDecoder()
    yield decoder
    decoder.close()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_it_decodes_what_load_image_decodes(decoder: PictureDecoder, mode: str) -> None:
    data = picture(mode)
    there, here = decoder.load(data, LIMITS, "photo"), load_image(data, LIMITS, "photo")
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert (there.transparency is None) == (here.transparency is None)
    if here.transparency is not None:
        np.testing.assert_array_equal(there.transparency, here.transparency)
    clean = load_image(decoder.clean(data, LIMITS, "photo"))
    np.testing.assert_array_equal(clean.pixels, here.pixels)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", ImageError),
        (b"no picture", ImageError),
        (picture()[:500], ImageError),
        (picture(side=8), ImageError),
        (picture("1", side=1200), ImageTooLargeError),
        (bytes(2**20 + 1), ImageTooLargeError),
    ],
)
def test_it_refuses_what_load_image_refuses(
    decoder: PictureDecoder, data: bytes, kind: type[ImageError]
) -> None:
    with pytest.raises(kind) as there:
        decoder.load(data, LIMITS, "photo")
    with pytest.raises(kind) as here:
        load_image(data, LIMITS, "photo")
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize("data", [b"crash", b"hang", b"compute", b"memory", b"bug"])
def test_whatever_a_picture_does_the_next_one_is_decoded(data: bytes) -> None:
    decode: Decode = crash
    decoder = PictureDecoder(decode, seconds=1.0)
    try:
        decoder.warm_up()
        start = time.monotonic()
        with pytest.raises(ImageError, match=r"^photo: "):
            decoder.load(data, LIMITS, "photo")
        assert time.monotonic() - start < 15
        decoder._seconds = 30
        assert decoder.load(picture(), LIMITS, "photo").width == 48
    finally:
        decoder.close()


def test_a_process_that_was_killed_is_replaced(decoder: PictureDecoder) -> None:
    decoder.load(picture(), LIMITS, "photo")
    assert decoder._process is not None and decoder._process.pid is not None
    os.kill(decoder._process.pid, signal.SIGKILL)
    decoder._process.join()
    assert decoder.load(picture(), LIMITS, "photo").width == 48


def test_threads_get_each_its_own_picture(decoder: PictureDecoder) -> None:
    sides = list(range(16, 48))
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda side: decoder.load(picture(side=side), LIMITS, "p").width, sides)
        assert list(found) == sides
