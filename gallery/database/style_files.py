"""Files of style vectors: facts and statistics of paintings, no pictures.

One of them, the starter gallery, ships with the package; `adain gallery export` writes others.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from adain.errors import WeightsError
from adain.styles.adapter import Adapter
from gallery.database.paintings import Painting, facts, read_facts
from gallery.database.vectors import broken_colors, statistics, with_colors
from gallery.errors import ManifestError, StylesError
from gallery.files import write_file

STYLES_FILE = Path(__file__).parents[1] / "assets" / "styles.safetensors"

FORMAT = "adain-styles/3"

ADAPTER = "adapter/"
"""Begins the names of what was learnt: `adapter/SHA256/BASE`, the bytes of a file of its own."""

FORMER_FORMAT = "adain-styles/2"
"""Without colours."""


@dataclass(frozen=True, eq=False)
class StyleFile:
    """Paintings and their style vectors.

    Attributes:
        vectors: Shape `(N, D)`, float32, one row for each painting; colours that were not
            measured are NaN.
        encoder: Fingerprint of the encoder that measured them.
        adapters: What was learnt of some, by the digest of their picture.
    """

    paintings: tuple[Painting, ...]
    vectors: NDArray[np.float32]
    encoder: str
    adapters: Mapping[str, Sequence[Adapter]] = field(default_factory=dict)


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
            names = [name for name in file.keys() if name.startswith(ADAPTER)]  # noqa: SIM118
            contents = [(name, file.get_tensor(name).tobytes()) for name in names]
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
    return StyleFile(paintings, vectors, encoder, _read_adapters(contents, path.name))


def _read_adapters(contents: Sequence[tuple[str, bytes]], name: str) -> dict[str, list[Adapter]]:
    adapters: dict[str, list[Adapter]] = {}
    try:
        for key, content in contents:
            sha256 = key.removeprefix(ADAPTER).partition("/")[0]
            adapters.setdefault(sha256, []).append(Adapter.from_bytes(content))
    except WeightsError as error:
        raise StylesError(f"{name}: {error}") from error
    return adapters


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
    tensors: dict[str, NDArray[Any]] = {
        "vectors": np.ascontiguousarray(with_colors(styles.vectors))
    }
    for sha256, adapters in styles.adapters.items():
        for adapter in adapters:
            content = np.frombuffer(adapter.to_bytes(), np.uint8)
            tensors[f"{ADAPTER}{sha256}/{adapter.base}"] = content
    write_file(path, save(tensors, metadata), overwrite)
