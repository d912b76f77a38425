import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from adain.model import STYLE_LAYERS
from adain.weights import encoder_fingerprint, load_encoder
from gallery.errors import StyleNotFound, StylesError
from gallery.styles import (
    FORMAT,
    Painting,
    ShippedStyles,
    load_styles,
    save_styles,
    slugify,
)

PAINTINGS = (
    Painting("cafe-terrace", "Café Terrace at Night", "Vincent van Gogh", 1888, "Impressionism"),
    Painting("irises", "Irises", "Vincent van Gogh", 1889, "Impressionism"),
    Painting("water-lilies", "Water Lilies", "Claude Monet", 1906, "Impressionism"),
    Painting("melancholy", "Melancholy", "Edvard Munch", None, "Expressionism"),
)


@pytest.fixture
def styles() -> ShippedStyles:
    vectors = np.arange(4 * 6, dtype=np.float32).reshape(4, 6)
    return ShippedStyles(PAINTINGS, vectors, "0123456789abcdef")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("irises", "irises"),
        ("Irises", "irises"),
        ("Café Terrace at Night", "cafe-terrace"),
        ("monet", "water-lilies"),
        ("Claude Monet", "water-lilies"),
        ("van gogh terrace", "cafe-terrace"),
        ("munch: melancholy", "melancholy"),
    ],
)
def test_a_painting_is_found_by_slug_title_or_artist(
    styles: ShippedStyles, name: str, slug: str
) -> None:
    assert styles.find(name).slug == slug


def test_an_artist_of_several_paintings_asks_which_one(styles: ShippedStyles) -> None:
    with pytest.raises(StyleNotFound, match=r"several shipped styles; .* cafe-terrace, irises"):
        styles.find("gogh")


@pytest.mark.parametrize("name", ["irisis", "munhc", "nosuch.jpg", "", "星月夜"])
def test_a_miss_names_the_three_closest(styles: ShippedStyles, name: str) -> None:
    with pytest.raises(StyleNotFound) as caught:
        styles.find(name)
    text = str(caught.value)
    assert repr(name) in text
    assert sum(painting.slug in text for painting in PAINTINGS) == 3


def test_a_misspelt_word_still_points_to_its_painting(styles: ShippedStyles) -> None:
    with pytest.raises(StyleNotFound, match="did you mean melancholy,"):
        styles.find("munhc")


def test_the_vector_of_a_painting_is_its_row(styles: ShippedStyles) -> None:
    assert styles.vector(PAINTINGS[1]).tolist() == [[6, 7, 8, 9, 10, 11]]


def test_a_saved_file_loads_unchanged(styles: ShippedStyles, tmp_path: Path) -> None:
    save_styles(styles, tmp_path / "styles.safetensors")
    loaded = load_styles(tmp_path / "styles.safetensors")
    assert loaded.paintings == styles.paintings
    assert loaded.encoder == styles.encoder
    np.testing.assert_array_equal(loaded.vectors, styles.vectors)


def write(
    path: Path, vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]], **metadata: str
) -> None:
    facts = json.dumps([{"slug": "a", "title": "A", "artist": "B", "year": None, "style": "C"}])
    defaults = {"format": FORMAT, "encoder": "0", "paintings": facts}
    save_file({"vectors": vectors}, path, defaults | metadata)


def test_damaged_files_give_one_line(tmp_path: Path) -> None:
    good = np.zeros((1, 4), np.float32)
    path = tmp_path / "styles.safetensors"
    for damage in (
        lambda: None,
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(b"\x10\0\0\0\0\0\0\0not json at all!"),
        lambda: write(path, good, format="adain-decoder/1"),
        lambda: write(path, good, paintings="[]"),
        lambda: write(path, good, paintings="[{}]"),
        lambda: write(path, good, paintings="{"),
        lambda: write(path, np.full((1, 4), np.nan, np.float32)),
        lambda: write(path, np.zeros((2, 4), np.float32)),
    ):
        damage()
        with pytest.raises(StylesError, match=r"^styles.safetensors: [^\n]+$"):
            load_styles(path)


@settings(deadline=None)
@given(st.text())
def test_a_slug_is_made_of_any_text_and_stays_itself(text: str) -> None:
    slug = slugify(text)
    assert slugify(slug) == slug
    assert slug == "" or all(word.isalnum() and word.isascii() for word in slug.split("-"))


def test_the_shipped_styles_fit_the_shipped_encoder() -> None:
    styles = load_styles()
    encoder = load_encoder()
    assert styles.encoder == encoder_fingerprint(encoder)
    assert styles.vectors.shape[1] == 2 * sum(encoder.widths[layer] for layer in STYLE_LAYERS)
    assert len(styles.paintings) >= 12
    for painting in styles.paintings:
        assert styles.find(painting.slug) is painting
        assert painting.slug == slugify(painting.slug)
        assert painting.title and painting.artist and painting.style
