"""What a site finds paintings by, in files small enough to be fetched when they are needed."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from gallery.database.paintings import Painting
from gallery.database.similar import signature
from gallery.database.vectors import Vectors

SIMILAR = 24
"""Paintings of the nearest styles that are known of each."""

OTHER = "other"
"""The file of words that do not begin with two letters or digits of ASCII."""

BLOCK = 256
"""Paintings whose nearest are searched at a time."""


def word_files(paintings: Sequence[Painting]) -> dict[str, dict[str, list[int]]]:
    """Return where each word is, and each slug, in files by their first two letters.

    `gallery/web/static/site/catalogue.js` takes words apart in the same way.
    """
    files: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, painting in enumerate(paintings):
        texts = [painting.title, painting.artist, *painting.styles, *painting.tags]
        for word in dict.fromkeys([painting.slug, *_words(" ".join(texts))]):
            files[_file(word)][word].append(number)
    return {name: dict(sorted(words.items())) for name, words in sorted(files.items())}


def _words(text: str) -> Iterable[str]:
    parts = unicodedata.normalize("NFD", text)
    plain = "".join(each for each in parts if not unicodedata.category(each).startswith("M"))
    return (word for word in re.split(r"[\W_]+", plain.lower()) if len(word) > 1)


def _file(word: str) -> str:
    return word[:2] if re.match("[a-z0-9]{2}", word) else OTHER


def nearest_styles(vectors: Vectors, count: int = SIMILAR) -> list[list[int]]:
    """Return the rows of the nearest styles of each of `(N, D)`, nearest first, without itself."""
    signatures = np.ascontiguousarray(signature(vectors))
    squares = np.einsum("nd,nd->n", signatures, signatures)
    count = min(count, len(signatures) - 1)
    found: list[list[int]] = []
    for start in range(0, len(signatures), BLOCK):
        block = signatures[start : start + BLOCK]
        away = squares - 2 * (block @ signatures.T)
        away[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        best = np.argpartition(away, max(count - 1, 0), axis=1)[:, :count]
        order = np.take_along_axis(away, best, 1).argsort(1, kind="stable")
        found += np.take_along_axis(best, order, 1).tolist()
    return found
