"""The application: styles that ship with the package, use cases, and the command line.

import adain, gallery

adain.stylize("photo.jpg", gallery.style("irises")).save("painted.png")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adain.engine.model import Model
    from adain.styles.statistics import StyleStatistics


def style(
    *names: str,
    database: str | None = None,
    model: "str | Model" = "compact",
    adapter: bool = True,
) -> "StyleStatistics":
    """Return a style of the gallery, for `adain.stylize`.

    Args:
        names: One or more, as for `adain stylize --style`: `irises`, `artist:monet=0.7`; several
            are mixed.
        database: Path or URL of the gallery; by default that of the command.
        model: The network, by name or loaded.
        adapter: Whether to paint with what was learnt of a painting, where there is any.

    Raises:
        StyleNotFound: If one is not in the gallery.
        StylesError: If one was not measured by the model, and there is no picture of it.
        ValueError: If there is none, or weights are not finite or do not sum to more than 0.

    Example:
        >>> painted = adain.stylize("photo.jpg", style("irises"))
        >>> mixed = style("artist:claude-monet=2", "senecio=1")
    """
    from adain.engine.loading import load_model
    from adain.engine.model import Model
    from gallery.config import database_url
    from gallery.database.gallery import open_gallery
    from gallery.use_cases.references import parse_references
    from gallery.use_cases.styles import find_style

    network = model if isinstance(model, Model) else load_model(model)
    if not names:
        raise ValueError("name at least one style")
    found = find_style(
        parse_references(names), lambda: open_gallery(database_url(database)), learnt=adapter
    )
    return found.resolve(network).statistics
