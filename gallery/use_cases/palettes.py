"""Colours of a painting, to show where its picture is not at hand."""

from adain.engine.model import Model
from adain.styles.colors import ColorDistribution
from gallery.database.gallery import Gallery
from gallery.database.paintings import Painting
from gallery.use_cases.styles import unpack_vectors


def palette(colors: ColorDistribution | None) -> list[str]:
    """Return eight colours of a painting as `#rrggbb`, dark to bright; none if none are known."""
    if colors is None:
        return []
    levels = (255 * colors.palette()[0]).round().astype(int).tolist()
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in levels]


def stored_palette(model: Model, gallery: Gallery, painting: Painting) -> list[str]:
    """Return the `palette` of a painting in a gallery; none where it was not measured."""
    vector = gallery.vector(painting, model.fingerprint)
    return [] if vector is None else palette(unpack_vectors(model, vector).colors)
