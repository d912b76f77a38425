"""References, as `--style` takes them: paintings, artists, movements, files, and mixtures."""

import math
import mimetypes
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adain.config import PERSON, PLACES, REST, SUBJECT, alternatives
from gallery.database.paintings import Painting, slugify
from gallery.errors import GalleryError, StyleNotFound

if TYPE_CHECKING:
    from gallery.database.gallery import Gallery
    from gallery.database.queries import Group

STANDARD = "-"
"""Stands for a painting on standard input."""

MAX_STYLES = 8
"""Styles in a mixture; more of them blur into the average of all paintings."""


@dataclass(frozen=True)
class Reference:
    """One part of a style.

    Attributes:
        name: A file, `-`, or what `find_target` takes.
        weight: Its share of the mixture; shares are divided by their sum.
        may_be_file: Whether a file of that name is meant if there is one.
        region: The part of the photo that it is for, one of `PLACES`; empty for all of it.
    """

    name: str
    weight: float = 1.0
    may_be_file: bool = True
    region: str = ""

    def __str__(self) -> str:
        region = f"@{self.region}" if self.region else ""
        return f"{self.name}{region}={self.weight:g}"

    @property
    def is_file(self) -> bool:
        """Return whether it names a file rather than a style of the gallery."""
        return self.may_be_file and os.path.exists(self.name)


def parse_references(texts: Sequence[str], regions: bool = False) -> list[Reference]:
    """Read references such as `irises`, `artist:monet=0.7` and `mosaic.png@person`.

    Args:
        texts: The references.
        regions: Whether they may be for parts of a photo.

    Raises:
        ValueError: If there are too many, the weights are not finite or sum to 0 or less, or one
            is for a part and must not be.
    """
    references = [parse_reference(text) for text in texts]
    if len(references) > MAX_STYLES:
        raise ValueError(f"at most {MAX_STYLES} styles can be mixed, got {len(references)}")
    if not regions and (parts := style_regions(references)):
        raise ValueError(
            f"@{parts[0]}: styles are for parts of a photo in 'adain stylize', 'batch' and 'video' "
            "only; leave it out"
        )
    for group in group_regions([reference.region for reference in references]).values():
        weights = [references[i].weight for i in group]
        if not all(map(math.isfinite, weights)) or sum(weights) < 1e-9:
            raise ValueError(f"style weights must be finite and sum to more than 0, got {weights}")
    return references


def group_regions(regions: Sequence[str]) -> dict[str, list[int]]:
    """Return which styles are for which part of a photo; those that name none take the rest.

    Args:
        regions: The part that each style names, or nothing.
    """
    groups: dict[str, list[int]] = {}
    for i, region in enumerate(regions):
        groups.setdefault(region or REST, []).append(i)
    return groups


def style_regions(references: Sequence[Reference]) -> tuple[str, ...]:
    """Return the parts of a photo that styles are for, each once; empty if none is named."""
    regions = [reference.region for reference in references]
    return tuple(group_regions(regions)) if any(regions) else ()


def find_target(gallery: "Gallery", name: str) -> "Painting | Group":
    """Find what a name stands for.

    Args:
        gallery: Where to look.
        name: Number, slug, `artist:title` or words of a painting; `artist:NAME` or `style:NAME`
            for all paintings of an artist or a movement.

    Raises:
        StyleNotFound: If nothing fits, several do, or it is an address of the web.
    """
    if name.lower().startswith(("http://", "https://")):
        raise StyleNotFound(
            f"{name}: pictures of the web are not fetched here; download it and give the file"
        )
    kind, colon, rest = name.partition(":")
    if colon and kind in ("artist", "style"):
        return gallery.find_group(kind, rest)
    if (mimetypes.guess_type(name)[0] or "").startswith("image/"):
        raise StyleNotFound(f"{name}: no such file")
    try:
        return gallery.find(name)
    except StyleNotFound as error:
        base, at, word = name.rpartition("@")
        if at and base and word.isalpha():
            raise StyleNotFound(
                f"{name}: no such painting; if '@{word}' is a part of the photo: what can be "
                f"found is {alternatives(PLACES)}"
            ) from error
        if slug := _new_slug(gallery, name):
            raise StyleNotFound(
                f"{slug} ships with this version, but is not in this gallery; "
                "run: adain gallery import"
            ) from error
        raise


def _new_slug(gallery: "Gallery", name: str) -> str:
    """Return the slug of a painting that ships and is not in a gallery, which may be older."""
    from gallery.database.gallery import starter_gallery

    with suppress(GalleryError):
        slug = starter_gallery().find(name).slug
        try:
            gallery.find(slug)
        except StyleNotFound:
            return slug
    return ""


def file_slug(reference: Reference) -> str:
    """Return what a picture file is called in the names of results.

    Raises:
        StyleNotFound: If it is a folder.
    """
    if os.path.isdir(reference.name):
        raise StyleNotFound(
            f"{reference.name}: is a folder; give one picture of it as the style, or let "
            "'adain batch' take each"
        )
    return slugify(os.path.splitext(os.path.basename(reference.name))[0]) or "painting"


def parse_reference(text: str, may_be_file: bool = True) -> Reference:
    """Read one part of a style: `NAME`, with `@PART` of the photo and `=WEIGHT` where wanted.

    What follows the last `=` and is no number belongs to the name, as in the title of a painting,
    and so does what follows the last `@` and is no part of a photo. A file comes first.

    Args:
        text: The part.
        may_be_file: Whether a file of that name is meant if there is one.
    """
    if may_be_file and os.path.exists(text):
        return Reference(text)
    name, weight = _split_weight(text)
    base, at, region = name.rpartition("@")
    if not (at and base and region in PLACES) or (may_be_file and os.path.exists(name)):
        return Reference(name, 1.0 if weight is None else weight, may_be_file)
    if weight is None:
        base, weight = _split_weight(base)
    region = PERSON if region == SUBJECT else region
    return Reference(base, 1.0 if weight is None else weight, may_be_file, region)


def _split_weight(text: str) -> tuple[str, float | None]:
    name, equals, weight = text.rpartition("=")
    try:
        return (name, float(weight)) if equals else (text, None)
    except ValueError:
        return text, None
