"""References, as `--style` takes them: paintings, artists, movements, files, and mixtures."""

import math
import mimetypes
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    """

    name: str
    weight: float = 1.0
    may_be_file: bool = True

    @property
    def is_file(self) -> bool:
        """Return whether it names a file rather than a style of the gallery."""
        return self.may_be_file and os.path.exists(self.name)


def parse_references(texts: Sequence[str]) -> list[Reference]:
    """Read references such as `irises`, `artist:monet=0.7` and `mosaic.png=2`.

    Raises:
        ValueError: If there are too many, or the weights are not finite or sum to 0 or less.
    """
    references = [parse_reference(text) for text in texts]
    weights = [reference.weight for reference in references]
    if len(references) > MAX_STYLES:
        raise ValueError(f"at most {MAX_STYLES} styles can be mixed, got {len(references)}")
    if not all(map(math.isfinite, weights)) or sum(weights) < 1e-9:
        raise ValueError(f"style weights must be finite and sum to more than 0, got {weights}")
    return references


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
    """Read one part of a style: `NAME`, or `NAME=WEIGHT`.

    What follows the last `=` and is no number belongs to the name, as in the title of a painting.

    Args:
        text: The part.
        may_be_file: Whether a file of that name is meant if there is one.
    """
    name, equals, weight = text.rpartition("=")
    if not equals or (may_be_file and os.path.exists(text)):
        return Reference(text, may_be_file=may_be_file)
    try:
        return Reference(name, float(weight), may_be_file)
    except ValueError:
        return Reference(text, may_be_file=may_be_file)
