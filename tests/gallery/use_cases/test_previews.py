import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shipping import ship

from adain.engine.model import Model
from adain.engine.torch_engine import TorchEngine
from adain.imaging.picture import Picture
from adain.imaging.reading import load_image
from gallery.config import database_url
from gallery.database.gallery import Gallery, open_gallery
from gallery.database.style_files import StyleFile
from gallery.errors import OutputError
from gallery.files import write_file
from gallery.use_cases.previews import EXAMPLE, PreviewConfig, example_file, preview


@pytest.fixture
def gallery(tiny_model: Model, styles: StyleFile, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    width = 2 * sum(tiny_model.widths.values())
    vectors = np.random.default_rng(0).uniform(0.5, 2, (4, width)).astype(np.float32)
    ship(StyleFile(styles.paintings, vectors, tiny_model.fingerprint), monkeypatch)
    return open_gallery(database_url())


@pytest.fixture
def config(tmp_path: Path) -> PreviewConfig:
    return PreviewConfig(side=48, folder=tmp_path / "previews")


def files(config: PreviewConfig) -> list[Path]:
    assert config.folder is not None
    return sorted(path for path in config.folder.rglob("*") if path.is_file())


def test_the_example_has_what_styles_differ_in() -> None:
    assert example_file() == EXAMPLE.read_bytes()
    pixels = load_image(EXAMPLE).to_array() / 255
    assert pixels.shape == (400, 500, 3)
    assert 0 <= pixels.min() < 0.1 and 0.9 < pixels.max() <= 1
    grey = pixels.mean(2)
    steps = np.abs(np.diff(grey, axis=1))
    assert (steps < 0.02).mean() > 0.5 and (steps > 0.2).any()
    red, green, blue = pixels.reshape(-1, 3).T
    assert (red > np.maximum(green, blue) + 0.1).mean() > 0.01


def test_previews_are_rendered_once(
    gallery: Gallery,
    tiny_model: Model,
    config: PreviewConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = gallery.find("irises")
    data = preview(tiny_model, gallery, target, config)
    with Image.open(BytesIO(data)) as image:
        assert (image.format, image.size) == ("JPEG", (48, 38))
    assert [file.read_bytes() for file in files(config)] == [data]

    def refuse(*_: object, **options: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr("gallery.use_cases.previews.stylize_picture", refuse)
    assert preview(tiny_model, gallery, target, config) == data


def test_whatever_a_preview_depends_on_makes_another_one(
    gallery: Gallery, tiny_model: Model, config: PreviewConfig
) -> None:
    target = gallery.find("irises")
    photo = Picture(np.random.default_rng(0).random((40, 60, 3), np.float32))
    seen = {preview(tiny_model, gallery, target, config)}
    seen.add(preview(tiny_model, gallery, gallery.find("melancholy"), config))
    seen.add(preview(tiny_model, gallery, gallery.find_group("artist", "gogh"), config))
    seen.add(preview(tiny_model, gallery, gallery.find_group("style", "realism"), config))
    seen.add(preview(tiny_model, gallery, target, PreviewConfig(64, config.folder)))
    seen.add(preview(tiny_model, gallery, target, config, photo))
    decoder = {name: 1.5 * value for name, value in tiny_model.weights.decoder.items()}
    weights = replace(tiny_model.weights, decoder=decoder)
    other = replace(tiny_model, weights=weights, engine=TorchEngine(weights))
    seen.add(preview(other, gallery, target, config))
    # Realism is the one painting `irises`, pooled: its statistics are the same.
    assert len(seen) == len(files(config)) == 6


def test_a_preview_that_was_cut_off_is_rendered_again(
    gallery: Gallery, tiny_model: Model, config: PreviewConfig
) -> None:
    target = gallery.find("irises")
    data = preview(tiny_model, gallery, target, config)
    (file,) = files(config)
    for damaged in (b"", data[:100]):
        file.write_bytes(damaged)
        assert preview(tiny_model, gallery, target, config) == data == file.read_bytes()


def test_the_cache_is_bounded_and_keeps_what_is_used(
    gallery: Gallery, tiny_model: Model, config: PreviewConfig
) -> None:
    assert config.folder is not None
    slugs = ("irises", "melancholy", "water-lilies", "cafe-terrace")
    preview(tiny_model, gallery, gallery.find("irises"), config)
    (used,) = files(config)
    abandoned = used.with_name(".adain-0.tmp")
    abandoned.touch()
    os.utime(abandoned, (0, 0))
    small = PreviewConfig(48, config.folder, max_bytes=3 * used.stat().st_size)
    for i, slug in enumerate(slugs[1:]):
        for file in files(config):
            os.utime(file, (1000 + i, 1000 + i))
        preview(tiny_model, gallery, gallery.find("irises"), small)
        preview(tiny_model, gallery, gallery.find(slug), small)
        assert used in files(config)
        assert sum(file.stat().st_size for file in files(config)) <= small.max_bytes
    assert not abandoned.exists()
    assert len(files(config)) < len(slugs)


def test_a_cache_that_cannot_be_written_is_done_without(
    gallery: Gallery, tiny_model: Model, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    config = PreviewConfig(48, tmp_path / "file" / "cache")
    assert preview(tiny_model, gallery, gallery.find("irises"), config)[:2] == b"\xff\xd8"


def test_transparency_of_a_photo_is_laid_on_white(
    gallery: Gallery, tiny_model: Model, config: PreviewConfig
) -> None:
    photo = Picture(np.zeros((40, 40, 3), np.float32), np.zeros((40, 40), np.float32))
    data = preview(tiny_model, gallery, gallery.find("irises"), config, photo)
    with Image.open(BytesIO(data)) as image:
        assert image.getpixel((20, 20)) == (255, 255, 255)


def test_files_are_replaced_only_when_allowed(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.jpg"
    write_file(file, b"1", parents=True)
    with pytest.raises(OutputError, match="--overwrite"):
        write_file(file, b"2", overwrite=False, parents=True)
    write_file(file, b"2", overwrite=True, parents=True)
    assert file.read_bytes() == b"2"
    with pytest.raises(OutputError, match="cannot be written"):
        write_file(file / "below.jpg", b"3", parents=True)
    assert [path.name for path in file.parent.iterdir()] == ["a.jpg"]
