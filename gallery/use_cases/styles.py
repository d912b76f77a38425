"""Styles, from what names them to what paints: found first, resolved once a network is there.

    texts ── references ── find_style ── FoundStyle ── resolve(model) ── ResolvedStyle

A style that is a picture, or is looked up by its slug, needs no SQLAlchemy.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from adain.config import STYLE_SIDE
from adain.engine.model import Model
from adain.painting.measuring import measure_style
from adain.painting.sources import PictureSource
from adain.styles.adapter import Adapter
from adain.styles.statistics import (
    StyleStatistics,
    interpolate_styles,
    pool_styles,
    stack_styles,
)
from gallery.database.paintings import Painting
from gallery.database.plain import Known
from gallery.database.vectors import Vectors, has_colors, statistics
from gallery.errors import StylesError
from gallery.use_cases.references import (
    STANDARD,
    Reference,
    file_slug,
    find_target,
    group_regions,
)

if TYPE_CHECKING:
    from gallery.database.gallery import Gallery
    from gallery.database.queries import Group

NOTHING: Mapping[str, Adapter] = {}

MAX_SLUG = 120
"""Characters of a style's slug; a file name holds 255 bytes."""


@dataclass(frozen=True, eq=False)
class ResolvedStyle:
    """A style that is ready to paint with.

    Attributes:
        slug: Its name in the names of results.
        statistics: Shape `(1, C)`; of styles that stay apart, one for each mask, `(N, C)`.
        origin: `painting` or `group` of the gallery, `file` for a picture, or `mixture`.
        note: What was learnt of it and is not used, since it belongs to other decoders.
    """

    slug: str
    statistics: StyleStatistics
    origin: str
    note: str = ""


@dataclass(frozen=True)
class StylePart:
    """One part of a style, found before any network is loaded.

    Attributes:
        slug: Its name in the names of results.
        weight: Its share of a mixture.
        picture: Its picture, where that is a file at hand.
        is_file: Whether it was named by that file.
        resolve: Measures it, or looks up what was measured.
        region: As of its reference.
    """

    slug: str
    weight: float
    picture: Path | None
    is_file: bool
    resolve: Callable[[Model], ResolvedStyle]
    region: str = ""


@dataclass(frozen=True)
class FoundStyle:
    """All parts of a style.

    Attributes:
        parts: One or more.
        separate: Whether they stay apart, one for each mask, instead of being mixed.
    """

    parts: tuple[StylePart, ...]
    separate: bool = False

    @property
    def slug(self) -> str:
        """Return the name of all parts together, for the names of results."""
        return join_slugs([part.slug for part in self.parts])

    @property
    def pictures(self) -> list[tuple[Path, float]] | None:
        """Return the pictures of all parts with their weights; None if one is not at hand."""
        found = [(part.picture, part.weight) for part in self.parts if part.picture is not None]
        return found if len(found) == len(self.parts) else None

    def resolve(self, model: Model) -> ResolvedStyle:
        """Measure the parts or look them up, and join them.

        Raises:
            StylesError: If one was not measured by this model, and there is no picture of it.
            ImageError: If a picture cannot be read.
        """
        weights = None if self.separate else [part.weight for part in self.parts]
        regions = [part.region for part in self.parts]
        return join_styles([part.resolve(model) for part in self.parts], weights, regions)


def find_style(
    references: Sequence[Reference],
    open_gallery: Callable[[], "Gallery"],
    standard_input: BinaryIO | None = None,
    side: int = STYLE_SIDE,
    separate: bool = False,
    look_up: Callable[[str], Known] | None = None,
    learnt: bool = True,
    look_up_picture: Callable[[Path], Mapping[str, Adapter]] | None = None,
) -> FoundStyle:
    """Find what references stand for, before any network is loaded.

    Args:
        references: The parts of the style.
        open_gallery: Called at most once, when a part is neither a file nor looked up.
        standard_input: What the reference `-` reads.
        side: Shorter side in pixels at which paintings are measured.
        separate: Whether the styles stay apart, one for each mask, instead of being mixed.
        look_up: What gives the statistics of a painting by its slug without opening the gallery
            (`gallery.database.plain.measured`); its picture is then not looked for.
        learnt: Whether to paint with what was learnt of a painting or a group, where there is any.
        look_up_picture: What gives the adapters that were learnt from a picture file.

    Raises:
        StyleNotFound: If a part is neither a file nor in the gallery.
        DatabaseError: If the gallery cannot be read.
    """
    gallery = cache(open_gallery)

    def stored(reference: Reference) -> StylePart:
        target = find_target(gallery(), reference.name)
        path = Path(target.path) if isinstance(target, Painting) and target.path else None
        picture = path if path and os.path.isfile(path) else None
        resolve = partial(stored_style, gallery=gallery(), target=target, side=side, learnt=learnt)
        return StylePart(target.slug, reference.weight, picture, False, resolve)

    def find(reference: Reference) -> StylePart:
        name, weight = reference.name, reference.weight
        if name == STANDARD and standard_input is not None:
            resolve = partial(
                picture_style, slug="stdin", painting=standard_input, name="standard input",
                side=side,
            )  # fmt: skip
            return StylePart("stdin", weight, None, True, resolve)
        if reference.is_file:
            slug, path = file_slug(reference), Path(name)
            adapters = look_up_picture(path) if look_up_picture and learnt else {}
            resolve = partial(picture_style, slug=slug, painting=path, side=side, adapters=adapters)
            return StylePart(slug, weight, path, True, resolve)
        known = look_up(name) if look_up and side == STYLE_SIDE else Known()
        if not known.vectors:
            return stored(reference)

        def known_style(model: Model) -> ResolvedStyle:
            if model.fingerprint in known.vectors:
                adapters = known.adapters if learnt else NOTHING
                vector, adapter = known.vectors[model.fingerprint], adapters.get(model.base)
                return _noted(kept_style(model, name, vector, adapter=adapter), model, adapters)
            return stored(reference).resolve(model)

        return StylePart(name, weight, None, False, known_style)

    parts = [replace(find(each), region=each.region) for each in references]
    return FoundStyle(tuple(parts), separate)


def stored_style(
    model: Model,
    gallery: "Gallery",
    target: "Painting | Group",
    side: int = STYLE_SIDE,
    learnt: bool = True,
) -> ResolvedStyle:
    """Return the style of a painting of the gallery, or of all paintings of an artist or style.

    What was not measured by this model's encoder yet is measured now, where the picture is at
    hand, and kept.

    Args:
        model: The network.
        gallery: Where the painting is.
        target: The painting or the group.
        side: As for `measure_style`. Only what is measured at `STYLE_SIDE` is kept.
        learnt: As for `find_style`.

    Raises:
        StylesError: If it was not measured, and there is no picture, or what was learnt is damaged.
        ImageError: If the picture cannot be read.
    """
    if side != STYLE_SIDE:
        vector = _measured_at(model, target, side)
    elif isinstance(target, Painting):
        vector = _painting_vector(model, gallery, target)
    else:
        vector = gallery.pooled(target, model.fingerprint, partial(pool_vectors, model))
    origin = "painting" if isinstance(target, Painting) else "group"
    if not learnt:
        return kept_style(model, target.slug, vector, origin)
    adapter = gallery.adapter(target, model.base)
    bases = gallery.learnt_bases(target) if adapter is None else ()
    return _noted(kept_style(model, target.slug, vector, origin, adapter), model, bases)


def kept_style(
    model: Model,
    slug: str,
    vector: Vectors,
    origin: str = "painting",
    adapter: Adapter | None = None,
) -> ResolvedStyle:
    """Return the style that a style vector `(1, D)` of the gallery, and what was learnt, make.

    Every style of the gallery is made here, wherever its numbers were looked up.

    Raises:
        StylesError: If a model of this encoder cannot have measured it.
    """
    return _adapted(ResolvedStyle(slug, unpack_vectors(model, vector), origin), adapter)


def picture_style(
    model: Model,
    slug: str,
    painting: PictureSource,
    name: str | None = None,
    side: int = STYLE_SIDE,
    adapters: Mapping[str, Adapter] = NOTHING,
) -> ResolvedStyle:
    """Return the style of a picture, with what was learnt of it for the decoder of the model.

    Raises:
        ImageError: If it cannot be read.
    """
    style = ResolvedStyle(slug, measure_style(model, painting, name, side), "file")
    return _noted(_adapted(style, adapters.get(model.base)), model, adapters)


def _adapted(style: ResolvedStyle, adapter: Adapter | None) -> ResolvedStyle:
    if adapter is None:
        return style
    return replace(style, statistics=replace(style.statistics, adapters=(adapter,)))


def _noted(style: ResolvedStyle, model: Model, bases: Iterable[str]) -> ResolvedStyle:
    """Return a style with a note if it was learnt, but for other decoders than the model's."""
    others = sorted(bases)
    if not others or model.base in others:
        return style
    note = (
        f"{style.slug}: was learnt for decoder {', '.join(others)}, not for {model.base}, which "
        "paints here, and is painted without; 'adain learn' learns it anew, 'adain gallery import' "
        "brings what ships"
    )
    return replace(style, note=note)


def join_styles(
    styles: Sequence[ResolvedStyle],
    weights: Sequence[float] | None,
    regions: Sequence[str] = (),
) -> ResolvedStyle:
    """Return styles `(1, C)` mixed by weights, or without weights as a batch `(N, C)`.

    Args:
        styles: One or more.
        weights: One for each.
        regions: The parts of a photo that they are for, one for each or none at all: those of
            one are mixed, and there is a style `(1, C)` for each, as `style_regions` orders them.
    """
    if len(styles) == 1:
        return styles[0]
    each = [style.statistics for style in styles]
    if weights is None:
        joined = stack_styles(each)
    elif any(regions):
        groups = group_regions(regions).values()
        joined = stack_styles([_mixed(each, weights, group) for group in groups])
    else:
        joined = interpolate_styles(each, weights)
    slug, notes = join_slugs([style.slug for style in styles]), [style.note for style in styles]
    return ResolvedStyle(slug, joined, "mixture", "; ".join(filter(None, notes)))


def _mixed(
    styles: Sequence[StyleStatistics], weights: Sequence[float], chosen: Sequence[int]
) -> StyleStatistics:
    if len(chosen) == 1:
        return styles[chosen[0]]
    return interpolate_styles([styles[i] for i in chosen], [weights[i] for i in chosen])


def join_slugs(slugs: Sequence[str]) -> str:
    """Return the name of a style of several parts."""
    return "+".join(slugs)[:MAX_SLUG]


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


def _measured_at(model: Model, target: "Painting | Group", side: int) -> Vectors:
    if not isinstance(target, Painting) or target.path is None:
        raise StylesError(
            f"{target.slug}: measured at {STYLE_SIDE} pixels, and its picture is not here; "
            "leave --style-size out, or give a picture of it as the style"
        )
    return measure_style(model, Path(target.path), side=side).to_vector()


def _painting_vector(model: Model, gallery: "Gallery", painting: Painting) -> Vectors:
    stored = gallery.vector(painting, model.fingerprint)
    if stored is not None:
        return stored
    if painting.path is None:
        raise StylesError(
            f"{painting.slug}: not measured by encoder {model.fingerprint}, and its picture is "
            "not here; ingest it, or give a picture of it as the style"
        )
    vector = measure_style(model, Path(painting.path)).to_vector()
    gallery.keep_vector(painting, model.fingerprint, vector)
    return vector
