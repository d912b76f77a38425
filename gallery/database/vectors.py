"""Style vectors in arrays, with and without the colours of their paintings.

A vector is the means and deviations of a painting, an even number of numbers, and since version 3
of the style files nine more for its colours (`adain.styles.colors`). Where some of many have no
colours, these are NaN in the array.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adain.styles.colors import VECTOR_SIZE, ColorDistribution

Vectors = NDArray[np.float32]
"""Style vectors, shape `(N, D)`."""

UNKNOWN = np.full(VECTOR_SIZE, np.nan, "<f4").tobytes()
"""Colours that were not measured."""


def statistics(vectors: Vectors) -> Vectors:
    """Return style vectors without their colours."""
    return vectors[:, :-VECTOR_SIZE] if vectors.shape[1] % 2 else vectors


def has_colors(vectors: Vectors) -> NDArray[np.bool_]:
    """Return which of style vectors have colours, shape `(N,)`."""
    if vectors.shape[1] % 2 == 0:
        return np.zeros(len(vectors), np.bool_)
    known: NDArray[np.bool_] = np.logical_not(np.isnan(vectors[:, -VECTOR_SIZE:]).all(1))
    return known


def with_colors(vectors: Vectors) -> Vectors:
    """Return style vectors with room for colours; those that have none have NaN there."""
    if vectors.shape[1] % 2:
        return vectors
    return np.pad(vectors, ((0, 0), (0, VECTOR_SIZE)), constant_values=np.nan)


def pack_vector(vector: Vectors) -> bytes:
    """Return a style vector `(D,)` as little-endian float32, without colours that are not known."""
    known = vector[None] if has_colors(vector[None])[0] else statistics(vector[None])
    return known.astype("<f4").tobytes()


def unpack_vectors(packed: Sequence[bytes]) -> Vectors:
    """Return style vectors of one encoder from `pack_vector`; see `misfits`."""
    longest = max(map(len, packed))
    whole = b"".join(data if len(data) == longest else data + UNKNOWN for data in packed)
    return np.frombuffer(whole, "<f4").reshape(len(packed), -1).copy()


def misfits(lengths: Sequence[int]) -> list[int]:
    """Return which packed vectors of one encoder, given their bytes, are not as long as most.

    Colours do not count.
    """
    pair = 8  # Bytes of a mean and a deviation.
    sizes = [length - len(UNKNOWN) if length % pair else length for length in lengths]
    usual = Counter(sizes).most_common(1)
    return [i for i, size in enumerate(sizes) if size % pair or size != usual[0][0]]


def join_vectors(parts: Sequence[Vectors]) -> Vectors:
    """Return arrays of style vectors as one."""
    if len({part.shape[1] for part in parts}) > 1:
        parts = [with_colors(part) for part in parts]
    return np.concatenate(parts)


def broken_colors(vectors: Vectors) -> list[int]:
    """Return which style vectors have colours that no picture has."""
    rows = np.flatnonzero(has_colors(vectors)).tolist()
    if not rows or _are_possible(vectors[rows]):
        return []
    return [row for row in rows if not _are_possible(vectors[[row]])]


def _are_possible(vectors: Vectors) -> bool:
    try:
        ColorDistribution.from_vector(vectors[:, -VECTOR_SIZE:])
    except ValueError:
        return False
    return True
