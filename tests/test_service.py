from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adain.errors import ImageError, ImageTooLargeError
from adain.images import ImageLimits
from adain.model import StyleTransferModel
from adain.normalization import StyleStatistics
from gallery.errors import StylesError
from gallery.service import STYLE_SIDE, measure_style, shipped_style, stylize_photo
from gallery.styles import Painting, ShippedStyles

PAINTING = Painting("waves", "Waves", "Nobody", None, "Abstract")


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> bytes:
    generator = np.random.default_rng(seed)
    channels = len(mode)
    pixels = generator.integers(0, 256, (height, width, channels), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def style(tiny_model: StyleTransferModel) -> StyleStatistics:
    return measure_style(tiny_model, picture(64, 48, seed=1))


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (200, 101)])
def test_the_result_has_the_size_of_the_photo(
    tiny_model: StyleTransferModel, style: StyleStatistics, size: tuple[int, int]
) -> None:
    image = stylize_photo(tiny_model, picture(*size), style)
    assert (image.size, image.mode) == (size, "RGB")


def test_max_side_shrinks_and_never_enlarges(
    tiny_model: StyleTransferModel, style: StyleStatistics
) -> None:
    photo = picture(200, 100)
    assert stylize_photo(tiny_model, photo, style, max_side=100).size == (100, 50)
    assert stylize_photo(tiny_model, photo, style, max_side=1000).size == (200, 100)


def test_transparency_is_put_back(tiny_model: StyleTransferModel, style: StyleStatistics) -> None:
    photo = picture(40, 30, "RGBA")
    image = stylize_photo(tiny_model, photo, style)
    assert image.mode == "RGBA"
    alpha = Image.open(BytesIO(photo)).getchannel("A")
    np.testing.assert_array_equal(np.asarray(image.getchannel("A")), np.asarray(alpha))


def test_a_stored_style_gives_the_very_picture_of_a_measured_one(
    tiny_model: StyleTransferModel, style: StyleStatistics
) -> None:
    styles = ShippedStyles((PAINTING,), style.to_vector().numpy(), tiny_model.fingerprint)
    stored = shipped_style(tiny_model, styles, PAINTING)
    photo = picture(50, 40)
    images = [stylize_photo(tiny_model, photo, each) for each in (style, stored)]
    assert images[0].tobytes() == images[1].tobytes()


def test_styles_of_another_encoder_are_refused(
    tiny_model: StyleTransferModel, style: StyleStatistics
) -> None:
    styles = ShippedStyles((PAINTING,), style.to_vector().numpy(), "another")
    with pytest.raises(StylesError, match=rf"encoder another, .* {tiny_model.fingerprint}"):
        shipped_style(tiny_model, styles, PAINTING)


def test_large_paintings_are_measured_at_one_size(
    tiny_model: StyleTransferModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    def measure(image: torch.Tensor) -> None:
        shapes.append(tuple(image.shape[2:]))

    monkeypatch.setattr(tiny_model, "measure_style", measure)
    for width, height in [(700, 600), (300, 200)]:
        measure_style(tiny_model, picture(width, height))
    assert shapes == [(STYLE_SIDE, round(700 * STYLE_SIDE / 600)), (200, 300)]


def test_errors_name_the_photo(
    tiny_model: StyleTransferModel, style: StyleStatistics, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=r"^upload: "):
        stylize_photo(tiny_model, b"not a picture", style, name="upload")
    with pytest.raises(ImageTooLargeError, match=r"^upload: "):
        limits = ImageLimits(max_pixels=100)
        stylize_photo(tiny_model, picture(20, 20), style, limits=limits, name="upload")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
)
def test_too_little_memory_is_said_with_the_remedy(
    tiny_model: StyleTransferModel,
    style: StyleStatistics,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(tiny_model, "stylize", fail)
    with pytest.raises(ImageTooLargeError, match=r"memory for 30x20 pixels; .* smaller max-side"):
        stylize_photo(tiny_model, picture(30, 20), style)


def test_other_failures_of_the_network_pass_through(
    tiny_model: StyleTransferModel, style: StyleStatistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("device lost")

    monkeypatch.setattr(tiny_model, "stylize", fail)
    with pytest.raises(RuntimeError, match="device lost"):
        stylize_photo(tiny_model, picture(30, 20), style)
