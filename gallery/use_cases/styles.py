"""The use cases that the command line and the web share.

A style that is a picture, or is looked up by its slug, needs no SQLAlchemy.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from adain.config import STYLE_SIDE
from adain.engine.model import Model
from adain.painting.measuring import measure_style
from adain.styles.statistics import (
    StyleStatistics,
    interpolate_styles,
    pool_styles,
    stack_styles,
)
from gallery.database.paintings import Painting
from gallery.database.vectors import Vectors, has_colors, statistics
from gallery.errors import StylesError
from gallery.use_cases.references import STANDARD, Reference, file_slug, find_target

if TYPE_CHECKING:
    from gallery.database.gallery import Gallery
    from gallery.database.queries import Group

Measure = Callable[[Model], StyleStatistics]
"""What gives the statistics of a style by the encoder of a model."""

MAX_SLUG = 120
"""Characters of a style's slug; a file name holds 255 bytes."""


def stored_style(
    model: Model,
    gallery: "Gallery",
    target: "Painting | Group",
    side: int = STYLE_SIDE,
) -> StyleStatistics:
    """Return the style of a painting of the gallery, or of all paintings of an artist or style.

    What was not measured by this model's encoder yet is measured now, where the picture is at
    hand, and kept.

    Args:
        model: The network.
        gallery: Where the painting is.
        target: The painting or the group.
        side: As for `measure_style`. Only what is measured at `STYLE_SIDE` is kept.

    Raises:
        StylesError: If it was not measured, and there is no picture.
        ImageError: If the picture cannot be read.
    """
    if side != STYLE_SIDE:
        if not isinstance(target, Painting) or target.path is None:
            raise StylesError(
                f"{target.slug}: measured at {STYLE_SIDE} pixels, and its picture is not here; "
                "leave --style-size out, or give a picture of it as the style"
            )
        return measure_style(model, Path(target.path), side=side)
    if not isinstance(target, Painting):
        vector = gallery.pooled(target, model.fingerprint, partial(pool_vectors, model))
        return unpack_vectors(model, vector)
    stored = gallery.vector(target, model.fingerprint)
    if stored is not None:
        return unpack_vectors(model, stored)
    if target.path is None:
        raise StylesError(
            f"{target.slug}: not measured by encoder {model.fingerprint}, and its picture is not "
            "here; ingest it, or give a picture of it as the style"
        )
    style = measure_style(model, Path(target.path))
    gallery.keep_vector(target, model.fingerprint, style.to_vector())
    return style


def find_style(
    references: Sequence[Reference],
    open_gallery: Callable[[], "Gallery"],
    standard_input: BinaryIO | None = None,
    side: int = STYLE_SIDE,
    separate: bool = False,
    look_up: Callable[[str], Mapping[str, Vectors]] = lambda slug: {},
) -> tuple[str, Measure]:
    """Find what references stand for, before any network is loaded.

    Args:
        references: The parts of the style.
        open_gallery: Called at most once, when a part is neither a file nor looked up.
        standard_input: What the reference `-` reads.
        side: Shorter side in pixels at which paintings are measured.
        separate: Whether the styles stay apart, one for each mask, instead of being mixed.
        look_up: What gives the statistics of a painting by its slug without opening the gallery
            (`gallery.database.plain.measured`).

    Returns:
        A slug for the names of results, and what measures the style or looks it up.

    Raises:
        StyleNotFound: If a part is neither a file nor in the gallery.
        DatabaseError: If the gallery cannot be read.
    """
    gallery = cache(open_gallery)

    def stored(name: str) -> tuple[str, Measure]:
        target = find_target(gallery(), name)
        return target.slug, partial(stored_style, gallery=gallery(), target=target, side=side)

    def find(reference: Reference) -> tuple[str, Measure]:
        name = reference.name
        if name == STANDARD and standard_input is not None:
            return "stdin", partial(
                measure_style, painting=standard_input, name="standard input", side=side
            )
        if reference.is_file:
            return file_slug(reference), partial(measure_style, painting=Path(name), side=side)
        vectors = look_up(name) if side == STYLE_SIDE else {}
        if not vectors:
            return stored(name)

        def known_style(model: Model) -> StyleStatistics:
            if model.fingerprint in vectors:
                return unpack_vectors(model, vectors[model.fingerprint])
            return stored(name)[1](model)

        return name, known_style

    parts = [find(reference) for reference in references]
    slug = "+".join(slug for slug, _ in parts)[:MAX_SLUG]
    if len(parts) == 1:
        return slug, parts[0][1]

    def mix(model: Model) -> StyleStatistics:
        styles = [measure(model) for _, measure in parts]
        return join_styles(styles, None if separate else [each.weight for each in references])

    return slug, mix


def join_styles(
    styles: Sequence[StyleStatistics], weights: Sequence[float] | None
) -> StyleStatistics:
    """Return styles `(1, C)` mixed by weights, or without weights as a batch `(N, C)`."""
    if len(styles) == 1:
        return styles[0]
    if weights is not None:
        return interpolate_styles(styles, weights)
    return stack_styles(styles)


def pool_vectors(model: Model, vectors: Vectors) -> Vectors:
    """Return the style vector `(1, D)` of many paintings, `(N, D)`, together."""
    return pool_styles(unpack_vectors(model, vectors)).to_vector()


def unpack_vectors(model: Model, vectors: Vectors) -> StyleStatistics:
    """Return the styles of style vectors `(N, D)`, with colours if all have them.

    Raises:
        StylesError: If a model of this encoder cannot have measured them.
    """
    known = vectors if has_colors(vectors).all() else statistics(vectors)
    try:
        return StyleStatistics.from_vector(known, model.widths)
    except ValueError as error:
        raise StylesError(
            f"damaged statistics: {error}; 'adain gallery repair' mends them"
        ) from error
