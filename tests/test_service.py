from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adain.errors import ImageError, ImageTooLargeError
from adain.images import ImageLimits, load_image
from adain.model import STYLE_LAYERS, StyleTransferModel
from adain.normalization import StyleStatistics, channel_statistics
from gallery.config import STYLE_SIDE, database_url
from gallery.errors import StylesError
from gallery.paintings import Painting
from gallery.references import parse_references
from gallery.service import find_style, measure_style, stored_style, stylize_photo
from gallery.store import Gallery, make_gallery
from gallery.styles import StyleFile


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


@pytest.fixture
def gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    empty = StyleFile((), np.zeros((0, 1), np.float32), "")
    monkeypatch.setattr("gallery.store.load_styles", lambda: empty)
    return make_gallery(database_url())


def add(gallery: Gallery, folder: Path, seed: int, **facts: str) -> Painting:
    """Put a picture into the gallery that is not measured yet."""
    path = folder / f"{seed}.png"
    path.write_bytes(picture(64, 48, seed=seed))
    digest = f"{seed:064}"
    painting = Painting("", f"Waves {seed}", path=str(path), sha256=digest, pixel_sha256=digest)
    return gallery.add([replace(painting, **facts)])[0][0]  # type: ignore[arg-type]


def test_a_stored_style_gives_the_very_picture_of_a_measured_one(
    tiny_model: StyleTransferModel, gallery: Gallery, tmp_path: Path
) -> None:
    painting = add(gallery, tmp_path, 1)
    assert gallery.vector(painting, tiny_model.fingerprint) is None
    measured = stored_style(tiny_model, gallery, painting)
    Path(str(painting.path)).unlink()
    cached = stored_style(tiny_model, gallery, painting)
    photo = picture(50, 40)
    images = [stylize_photo(tiny_model, photo, each) for each in (measured, cached)]
    assert images[0].tobytes() == images[1].tobytes()


def test_a_painting_that_is_neither_measured_nor_here_is_refused(
    tiny_model: StyleTransferModel, gallery: Gallery, tmp_path: Path
) -> None:
    painting = replace(add(gallery, tmp_path, 1), path=None)
    with pytest.raises(StylesError, match=rf"waves-1: .* encoder {tiny_model.fingerprint}"):
        stored_style(tiny_model, gallery, painting)


def test_an_artist_is_what_his_paintings_have_together(
    tiny_model: StyleTransferModel, gallery: Gallery, tmp_path: Path
) -> None:
    works = [add(gallery, tmp_path, seed, artist="Nobody") for seed in (1, 2)]
    for work in works:
        stored_style(tiny_model, gallery, work)
    style = stored_style(tiny_model, gallery, gallery.find_group("artist", "nobody"))
    pixels = [load_image(Path(str(work.path))).pixels for work in works]
    with torch.no_grad():
        features = tiny_model.encode(torch.cat(pixels), STYLE_LAYERS)
    for layer, value in features.items():
        together = channel_statistics(value.transpose(0, 1).flatten(1)[None, :, :, None])
        torch.testing.assert_close(style[layer].mean, together.mean)
        torch.testing.assert_close(style[layer].std, together.std)


def test_a_new_painting_changes_the_style_of_its_artist(
    tiny_model: StyleTransferModel, gallery: Gallery, tmp_path: Path
) -> None:
    stored_style(tiny_model, gallery, add(gallery, tmp_path, 1, artist="Nobody"))
    group = gallery.find_group("artist", "nobody")

    def vector() -> torch.Tensor:
        return stored_style(tiny_model, gallery, group).to_vector()

    first = vector()
    assert torch.equal(vector(), first)
    second = add(gallery, tmp_path, 2, artist="Nobody")
    stored_style(tiny_model, gallery, second)
    assert not torch.equal(vector(), first)
    gallery.remove([second.id])
    assert torch.equal(vector(), first)


def test_a_mixture_weighs_its_parts(
    tiny_model: StyleTransferModel, gallery: Gallery, tmp_path: Path
) -> None:
    painting = add(gallery, tmp_path, 1)
    add(gallery, tmp_path, 2)
    references = parse_references([f"{painting.path}=3", "waves-2"])
    slug, measure = find_style(references, lambda: gallery)
    assert slug == "1+waves-2"
    parts = [stored_style(tiny_model, gallery, gallery.find(f"waves-{i}")) for i in (1, 2)]
    expected = parts[0].to_vector() * 0.75 + parts[1].to_vector() * 0.25
    torch.testing.assert_close(measure(tiny_model).to_vector(), expected)


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


OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_what_does_not_fit_whole_is_done_in_strips(
    tiny_model: StyleTransferModel,
    style: StyleStatistics,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise error

    expected = np.asarray(stylize_photo(tiny_model, picture(30, 20), style)).astype(int)
    monkeypatch.setattr(tiny_model, "stylize", fail)
    image = stylize_photo(tiny_model, picture(30, 20), style)
    assert abs(np.asarray(image) - expected).max() <= 1


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_too_little_memory_is_said_with_the_remedy(
    tiny_model: StyleTransferModel,
    style: StyleStatistics,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(tiny_model.encoder.conv1_1, "forward", fail)
    monkeypatch.setattr(tiny_model.encoder.conv1_1, "inner_rows", fail)
    with pytest.raises(ImageTooLargeError, match=r"memory for 30x20 pixels; .* smaller max-side"):
        stylize_photo(tiny_model, picture(30, 20), style)


def test_a_memory_limit_that_nothing_fits_is_named(
    tiny_model: StyleTransferModel, style: StyleStatistics
) -> None:
    with pytest.raises(ImageTooLargeError, match=r"^upload: 30x20 pixels need .* allow more"):
        stylize_photo(tiny_model, picture(30, 20), style, memory=10_000, name="upload")


def test_a_limit_of_memory_changes_no_picture(
    tiny_model: StyleTransferModel, style: StyleStatistics
) -> None:
    photo = picture(60, 300, "RGBA")
    whole = stylize_photo(tiny_model, photo, style)
    shares: list[float] = []
    strips = stylize_photo(tiny_model, photo, style, memory=900_000, progress=shares.append)
    assert strips.mode == "RGBA"
    assert abs(np.asarray(strips).astype(int) - np.asarray(whole)).max() <= 1
    assert len(shares) > 4 and shares == sorted(shares) and shares[-1] == 1


def test_other_failures_of_the_network_pass_through(
    tiny_model: StyleTransferModel, style: StyleStatistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("device lost")

    monkeypatch.setattr(tiny_model, "stylize", fail)
    with pytest.raises(RuntimeError, match="device lost"):
        stylize_photo(tiny_model, picture(30, 20), style)
