"""Colours of a painting, to show where its picture is not at hand."""

from adain.styles.colors import ColorDistribution


def palette(colors: ColorDistribution | None) -> list[str]:
    """Return eight colours of a painting as `#rrggbb`, dark to bright; none if none are known."""
    if colors is None:
        return []
    levels = (255 * colors.palette()[0]).round().astype(int).tolist()
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in levels]
