"""Files of style vectors: facts and statistics of paintings, no pictures.

One of them, the starter gallery, ships with the package; `adain gallery export` writes others.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gallery.database.paintings import Painting, facts, read_facts
from gallery.database.vectors import broken_colors, statistics, with_colors
from gallery.errors import ManifestError, StylesError
from gallery.files import write_file

STYLES_FILE = Path(__file__).parents[1] / "assets" / "styles.safetensors"

FORMAT = "adain-styles/3"

FORMER_FORMAT = "adain-styles/2"
"""Without colours."""


@dataclass(frozen=True, eq=False)
class StyleFile:
    """Paintings and their style vectors.

    Attributes:
        vectors: Shape `(N, D)`, float32, one row for each painting; colours that were not
            measured are NaN.
        encoder: Fingerprint of the encoder that measured them.
    """

    paintings: tuple[Painting, ...]
    vectors: NDArray[np.float32]
    encoder: str


def load_styles(path: Path = STYLES_FILE) -> StyleFile:
    """Read a file of styles, by default the starter gallery.

    Raises:
        StylesError: If the file is missing, damaged or of another kind.
    """
    remedy = "reinstall the package" if path == STYLES_FILE else "get the file again"
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            if metadata.get("format") not in (FORMAT, FORMER_FORMAT):
                raise StylesError(f"{path.name}: not a file of styles ({FORMAT}); {remedy}")
            vectors = file.get_tensor("vectors").astype(np.float32)
        paintings = tuple(map(read_facts, json.loads(metadata["paintings"])))
        encoder = metadata["encoder"]
    except (OSError, SafetensorError, ManifestError, ValueError, AttributeError, KeyError) as error:
        raise StylesError(f"{path.name}: missing or damaged file of styles; {remedy}") from error
    former = metadata["format"] == FORMER_FORMAT
    if vectors.ndim != 2 or len(vectors) != len(paintings) or vectors.shape[1] % 2 == former:
        raise StylesError(f"{path.name}: damaged vectors; {remedy}")
    broken = [*np.flatnonzero(~np.isfinite(statistics(vectors)).all(1)), *broken_colors(vectors)]
    if broken:
        slug = paintings[broken[0]].slug
        raise StylesError(f"{path.name}: damaged statistics or colours of {slug}; {remedy}")
    if not all(p.slug and p.title and p.sha256 and p.pixel_sha256 for p in paintings):
        raise StylesError(f"{path.name}: a painting lacks its slug, title or digests; {remedy}")
    return StyleFile(paintings, vectors, encoder)


def save_styles(styles: StyleFile, path: Path, overwrite: bool = True) -> None:
    """Write a file of styles, whole or not at all; what is not known takes no place.

    Raises:
        OutputError: If it cannot be written, or exists and `overwrite` is false.
    """
    metadata = {
        "format": FORMAT,
        "encoder": styles.encoder,
        "paintings": json.dumps([facts(p) for p in styles.paintings], ensure_ascii=False),
    }
    data = save({"vectors": np.ascontiguousarray(with_colors(styles.vectors))}, metadata)
    write_file(path, data, overwrite)
