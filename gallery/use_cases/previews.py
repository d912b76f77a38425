"""Previews: what a style of the gallery does to one and the same small photo.

They are rendered on demand and kept as JPEG files in the user's cache folder, under a digest of
all that they depend on: the style, the network, the photo and the size.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.imaging.reading import load_image
from adain.imaging.resizing import scale_image
from adain.imaging.writing import encode_image
from adain.painting.stylize import stylize_picture
from gallery.database.gallery import Gallery
from gallery.database.paintings import Painting
from gallery.database.queries import Group
from gallery.errors import OutputError
from gallery.files import sweep, write_file
from gallery.ingest.hashes import pixel_digest
from gallery.use_cases.styles import ResolvedStyle, stored_style

QUALITY = 88

EXAMPLE = Path(__file__).parents[1] / "assets" / "example.jpg"
"""A photo with flat and graded areas, hard and soft edges, and fine texture."""

VERSION = "adain-preview/4"
"""Part of every digest; to be changed with the example photo or the way a preview is made."""

MAX_BYTES = 256 * 2**20
"""Bytes that the cache may hold, some 15,000 previews; then a quarter goes, unused for longest."""


@dataclass(frozen=True)
class PreviewConfig:
    """Size of previews, and where they are kept.

    Attributes:
        side: Longest side in pixels.
        folder: The cache; by default one in the user's cache folder.
        max_bytes: What the cache may hold.
    """

    side: int = 320
    folder: Path | None = None
    max_bytes: int = MAX_BYTES


def preview(
    model: Model,
    gallery: Gallery,
    target: Painting | Group,
    config: PreviewConfig = PreviewConfig(),
    photo: Picture | None = None,
) -> bytes:
    """Return a photo in a style of the gallery, as a JPEG file.

    Args:
        model: The network.
        gallery: Where the style is looked up.
        target: A painting, an artist or a movement, from `references.find_target`.
        config: Size and cache. A cache that cannot be written is done without.
        photo: What is repainted; by default the example.

    Raises:
        StylesError: If the style was not measured, and there is no picture to measure.
        ImageError: If that picture cannot be read.
        DatabaseError: If the gallery cannot be read.
    """
    return style_preview(model, stored_style(model, gallery, target), config, photo)


def style_preview(
    model: Model,
    style: ResolvedStyle,
    config: PreviewConfig = PreviewConfig(),
    photo: Picture | None = None,
) -> bytes:
    """Return a photo, by default the example, in a style that is known."""
    file = preview_file(model, style, config, photo)
    return kept_preview(file) or render_preview(model, style, file, config, photo)


def preview_file(
    model: Model,
    style: ResolvedStyle,
    config: PreviewConfig = PreviewConfig(),
    photo: Picture | None = None,
) -> Path:
    """Return the file that keeps the preview of a style; its stem is a digest of the preview."""
    name = "example" if photo is None else pixel_digest(photo)
    key = hashlib.sha256(f"{VERSION} {name} {config.side}".encode())
    key.update(model.digest)
    key.update(style.statistics.to_vector().tobytes())
    for adapter in filter(None, style.statistics.adapters):
        key.update(adapter.digest.encode())
    folder = config.folder or user_cache_path("adain", appauthor=False) / "previews"
    return folder / key.hexdigest()[:2] / f"{key.hexdigest()}.jpg"


def render_preview(
    model: Model,
    style: ResolvedStyle,
    file: Path,
    config: PreviewConfig = PreviewConfig(),
    photo: Picture | None = None,
) -> bytes:
    """Repaint a photo, by default the example, small, and keep the result in `file` if possible."""
    picture = stylize_picture(
        model, photo or _example(config.side), style.statistics, max_side=config.side
    )
    data = encode_image(picture, "jpeg", QUALITY)
    try:
        write_file(file, data, parents=True)
    except OutputError:
        return data
    _sweep(file.parent.parent, config.max_bytes)
    return data


def example_file() -> bytes:
    """Return the example, in its full size, as a JPEG file."""
    return EXAMPLE.read_bytes()


def _example(side: int) -> Picture:
    return scale_image(load_image(EXAMPLE), side)


def kept_preview(file: Path) -> bytes | None:
    """Return a kept preview, unless it is missing or was cut off by a power cut."""
    try:
        data = file.read_bytes()
        if data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9":
            os.utime(file)  # Sweeping goes by the time of last use.
            return data
    except OSError:
        pass
    return None


def _sweep(folder: Path, max_bytes: int) -> None:
    """Delete the previews that were not used for longest, if there are too many bytes of them."""
    try:
        files = [(path, path.stat()) for path in folder.glob("*/*.jpg")]
        for each in folder.iterdir():
            sweep(each)
        total = sum(status.st_size for _, status in files)
        if total <= max_bytes:
            return
        for path, status in sorted(files, key=lambda file: file[1].st_mtime):
            if total <= max_bytes * 3 // 4:
                break
            path.unlink(missing_ok=True)
            total -= status.st_size
    except OSError:
        pass  # Another process sweeps at the same time.
