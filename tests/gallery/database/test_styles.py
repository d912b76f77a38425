import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from adain.engine.model import ModelWeights
from adain.network.weights import find_model
from gallery.database.paintings import slugify
from gallery.database.style_files import (
    FORMAT,
    FORMER_FORMAT,
    StyleFile,
    load_styles,
    save_styles,
)
from gallery.database.vectors import has_colors, statistics
from gallery.errors import StylesError


def test_a_saved_file_loads_unchanged(styles: StyleFile, tmp_path: Path) -> None:
    save_styles(styles, tmp_path / "styles.safetensors")
    loaded = load_styles(tmp_path / "styles.safetensors")
    assert loaded.paintings == styles.paintings
    assert loaded.encoder == styles.encoder
    np.testing.assert_array_equal(statistics(loaded.vectors), styles.vectors)
    assert not has_colors(loaded.vectors).any()


GREY = np.array([[0.5] * 3 + [0.25] * 6], np.float32)
"""Colours of an even grey."""


def write(
    path: Path, vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]], **metadata: str
) -> None:
    digests = {"sha256": "0" * 64, "pixel_sha256": "1" * 64}
    facts = json.dumps([{"slug": "a", "title": "A", "artist": "B", **digests}])
    defaults = {"format": FORMAT, "encoder": "0", "paintings": facts}
    save_file({"vectors": vectors}, path, defaults | metadata)


def test_damaged_files_give_one_line(tmp_path: Path) -> None:
    good = np.concatenate((np.zeros((1, 4), np.float32), GREY), axis=1)
    path = tmp_path / "styles.safetensors"
    for damage in (
        lambda: None,
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(b"\x10\0\0\0\0\0\0\0not json at all!"),
        lambda: write(path, good, format="adain-decoder/1"),
        lambda: write(path, good, paintings="[]"),
        lambda: write(path, good, paintings="[{}]"),
        lambda: write(path, good, paintings="{"),
        lambda: write(path, good, paintings='[{"slug": "a", "title": "A"}]'),
        lambda: write(path, good, paintings='[{"slug": "a", "title": ["A"]}]'),
        lambda: write(path, good, paintings='["a"]'),
        lambda: write(path, np.full_like(good, np.nan)),
        lambda: write(path, np.repeat(good, 2, 0)),
        lambda: write(path, good[:, :4]),
        lambda: write(path, good, format=FORMER_FORMAT),
    ):
        damage()
        with pytest.raises(StylesError, match=r"^styles.safetensors: [^\n]+$"):
            load_styles(path)


@pytest.mark.parametrize("colors", [[np.nan] + [0.25] * 8, [2.0] * 9, [0.5] * 3 + [0.1] * 6])
def test_broken_colors_are_refused_by_name(tmp_path: Path, colors: list[float]) -> None:
    path = tmp_path / "styles.safetensors"
    write(path, np.array([[0.0, 1, 2, 3, *colors]], np.float32))
    with pytest.raises(StylesError, match=r"^styles.safetensors: .* colours of a; "):
        load_styles(path)


def test_a_file_of_the_former_version_has_no_colors(tmp_path: Path) -> None:
    path = tmp_path / "styles.safetensors"
    write(path, np.ones((1, 4), np.float32), format=FORMER_FORMAT)
    loaded = load_styles(path)
    np.testing.assert_array_equal(loaded.vectors, np.ones((1, 4)))
    save_styles(loaded, path)
    assert load_styles(path).vectors.shape == (1, 13)


def test_the_shipped_styles_fit_the_shipped_encoder() -> None:
    styles = load_styles()
    weights = ModelWeights.read(find_model())
    assert styles.encoder == weights.fingerprint
    assert statistics(styles.vectors).shape[1] == 2 * sum(weights.widths.values())
    assert len(styles.paintings) >= 300
    assert len({painting.artist for painting in styles.paintings}) >= 60
    assert len({style for painting in styles.paintings for style in painting.styles}) >= 20
    for painting in styles.paintings:
        assert painting.slug == slugify(painting.slug)
        assert painting.title and painting.artist and painting.styles and painting.rights
    for name in ("slug", "sha256", "pixel_sha256"):
        assert len({getattr(p, name) for p in styles.paintings}) == len(styles.paintings)
