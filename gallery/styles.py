"""Styles that ship with the package: vectors and facts of their paintings, no pictures.

Nothing here needs torch, so that listing and looking up styles is quick.
"""

import difflib
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gallery.errors import StyleNotFound, StylesError

STYLES_FILE = Path(__file__).parent / "assets" / "styles.safetensors"

FORMAT = "adain-styles/1"


@dataclass(frozen=True)
class Painting:
    """Facts about a painting.

    Attributes:
        slug: Its name on the command line and in file names.
        year: When it was finished, where that is known.
        style: Its movement.
    """

    slug: str
    title: str
    artist: str
    year: int | None
    style: str


@dataclass(frozen=True, eq=False)
class ShippedStyles:
    """Paintings and their style vectors.

    Attributes:
        vectors: Shape `(N, D)`, float32, one row for each painting.
        encoder: Fingerprint of the encoder that measured them.
    """

    paintings: tuple[Painting, ...]
    vectors: NDArray[np.float32]
    encoder: str

    def vector(self, painting: Painting) -> NDArray[np.float32]:
        """Return the style vector of a painting, shape `(1, D)`."""
        i = self.paintings.index(painting)
        return self.vectors[i : i + 1]

    def find(self, name: str) -> Painting:
        """Find a painting by its slug, or by words of its title and artist that fit it alone.

        Raises:
            StyleNotFound: If no painting fits, or several do.
        """
        wanted = slugify(name)
        for painting in self.paintings:
            if painting.slug == wanted:
                return painting
        words = set(wanted.split("-"))
        fitting = [p for p in self.paintings if wanted and words <= _words(p)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            slugs = ", ".join(painting.slug for painting in fitting)
            raise StyleNotFound(f"{name!r} fits several shipped styles; choose one of {slugs}")
        raise StyleNotFound(
            f"{name!r} is neither a picture file nor a shipped style; "
            f"did you mean {_either(self._closest(wanted))}? 'adain styles' lists all"
        )

    def _closest(self, wanted: str, count: int = 3) -> list[str]:
        def likeness(painting: Painting) -> float:
            names = {painting.slug, slugify(painting.title), slugify(painting.artist)}
            # A single word of a long title or name is the likeliest thing to be misspelt.
            names |= {word for word in _words(painting) if len(word) > 3}
            return max(difflib.SequenceMatcher(None, wanted, name).ratio() for name in names)

        best = sorted(self.paintings, key=likeness, reverse=True)
        return [painting.slug for painting in best[:count]]


def slugify(text: str) -> str:
    """Return `text` as lower-case ASCII words with hyphens between them.

    >>> slugify("Café Terrace at Night")
    'cafe-terrace-at-night'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain))


def load_styles(path: Path = STYLES_FILE) -> ShippedStyles:
    """Read a file of styles.

    Raises:
        StylesError: If the file is missing, damaged or of another kind.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            if metadata.get("format") != FORMAT:
                raise StylesError(f"{path.name}: not a file of styles ({FORMAT})")
            vectors = file.get_tensor("vectors").astype(np.float32)
        paintings = tuple(Painting(**facts) for facts in json.loads(metadata["paintings"]))
        encoder = metadata["encoder"]
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise StylesError(
            f"{path.name}: missing or damaged file of styles; reinstall the package"
        ) from error
    if vectors.shape[:1] != (len(paintings),) or not np.isfinite(vectors).all():
        raise StylesError(f"{path.name}: damaged vectors; reinstall the package")
    return ShippedStyles(paintings, vectors, encoder)


def save_styles(styles: ShippedStyles, path: Path) -> None:
    """Write a file of styles."""
    paintings = [asdict(painting) for painting in styles.paintings]
    metadata = {
        "format": FORMAT,
        "encoder": styles.encoder,
        "paintings": json.dumps(paintings, ensure_ascii=False),
    }
    path.write_bytes(save({"vectors": np.ascontiguousarray(styles.vectors)}, metadata))


def _words(painting: Painting) -> set[str]:
    return set(slugify(f"{painting.slug} {painting.title} {painting.artist}").split("-"))


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
