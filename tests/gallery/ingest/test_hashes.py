import hashlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from adain.imaging.picture import Picture
from adain.imaging.reading import load_image
from gallery.ingest.hashes import NEAR, near, perceptual_hash, pixel_digest


@pytest.fixture
def scene() -> Image.Image:
    y, x = np.mgrid[0:240, 0:320] / 40
    channels = [np.sin(x + c) * np.cos(y * (c + 1)) for c in range(3)]
    return Image.fromarray((np.stack(channels, 2) * 100 + 128).astype(np.uint8))


def load(image: Image.Image, format: str, **options: int) -> Picture:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return load_image(buffer.getvalue())


def test_equal_pixels_have_equal_digests_in_every_lossless_file(scene: Image.Image) -> None:
    digests = {pixel_digest(load(scene, format)) for format in ("PNG", "BMP", "TIFF")}
    assert len(digests) == 1
    changed = scene.copy()
    changed.putpixel((5, 5), (0, 0, 0))
    assert pixel_digest(load(changed, "PNG")) not in digests


def test_the_digest_is_that_of_the_planes_however_they_are_kept(scene: Image.Image) -> None:
    levels = np.asarray(scene)
    planes, alpha = levels.transpose(2, 0, 1).copy(), levels[:, ::-1, 0]
    digest = hashlib.sha256(b"320x240" + planes.tobytes() + alpha.tobytes()).hexdigest()
    for colors in (levels, planes.transpose(1, 2, 0)):
        assert pixel_digest(Picture(colors, alpha)) == digest
        unit, clear = (each.astype(np.float32) / 255 for each in (colors, alpha))
        assert pixel_digest(Picture(unit, clear)) == digest
    assert pixel_digest(Picture(levels.astype(np.uint16) * 257, alpha)) == digest


def test_the_digest_knows_size_and_transparency() -> None:
    flat = np.zeros((20, 30, 3), np.float32)
    pictures = [
        Picture(flat),
        Picture(flat.swapaxes(0, 1)),
        Picture(flat, flat[..., 0]),
    ]
    assert len({pixel_digest(picture) for picture in pictures}) == 3


def test_versions_of_a_picture_are_near_and_others_are_not(scene: Image.Image) -> None:
    original = perceptual_hash(load(scene, "PNG"))
    versions = [
        perceptual_hash(load(scene.resize((160, 120)), "PNG")),
        perceptual_hash(load(scene, "JPEG", quality=40)),
    ]
    other = perceptual_hash(load(scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"))
    hashes = np.array([*versions, other], np.int64)
    assert near(original, hashes).tolist() == [0, 1]


def test_near_counts_bits() -> None:
    others = np.array([0, 2**NEAR - 1, 2 ** (NEAR + 1) - 1, -1, -(2**63)], np.int64)
    assert near(0, others).tolist() == [0, 1, 4]
