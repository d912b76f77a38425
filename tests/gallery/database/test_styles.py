import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from adain.config import STYLE_LAYERS
from adain.network.weights import encoder_fingerprint, load_encoder
from gallery.database.paintings import slugify
from gallery.database.style_files import FORMAT, StyleFile, load_styles, save_styles
from gallery.errors import StylesError


def test_a_saved_file_loads_unchanged(styles: StyleFile, tmp_path: Path) -> None:
    save_styles(styles, tmp_path / "styles.safetensors")
    loaded = load_styles(tmp_path / "styles.safetensors")
    assert loaded.paintings == styles.paintings
    assert loaded.encoder == styles.encoder
    np.testing.assert_array_equal(loaded.vectors, styles.vectors)


def write(
    path: Path, vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]], **metadata: str
) -> None:
    digests = {"sha256": "0" * 64, "pixel_sha256": "1" * 64}
    facts = json.dumps([{"slug": "a", "title": "A", "artist": "B", **digests}])
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
        lambda: write(path, good, paintings='[{"slug": "a", "title": "A"}]'),
        lambda: write(path, good, paintings='[{"slug": "a", "title": ["A"]}]'),
        lambda: write(path, good, paintings='["a"]'),
        lambda: write(path, np.full((1, 4), np.nan, np.float32)),
        lambda: write(path, np.zeros((2, 4), np.float32)),
    ):
        damage()
        with pytest.raises(StylesError, match=r"^styles.safetensors: [^\n]+$"):
            load_styles(path)


def test_the_shipped_styles_fit_the_shipped_encoder() -> None:
    styles = load_styles()
    encoder = load_encoder()
    assert styles.encoder == encoder_fingerprint(encoder)
    assert styles.vectors.shape[1] == 2 * sum(encoder.widths[layer] for layer in STYLE_LAYERS)
    assert len(styles.paintings) >= 300
    assert len({painting.artist for painting in styles.paintings}) >= 60
    assert len({style for painting in styles.paintings for style in painting.styles}) >= 20
    for painting in styles.paintings:
        assert painting.slug == slugify(painting.slug)
        assert painting.title and painting.artist and painting.styles and painting.rights
    for name in ("slug", "sha256", "pixel_sha256"):
        assert len({getattr(p, name) for p in styles.paintings}) == len(styles.paintings)
