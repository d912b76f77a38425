"""Measure the style of a painting, by one rule for its size."""

from adain.config import STYLE_SIDE
from adain.engine.model import Model
from adain.imaging.resizing import resize_shorter_side
from adain.painting.sources import PictureSource, read_picture
from adain.painting.tiling import measure_pixels
from adain.styles.statistics import StyleStatistics


def measure_style(
    model: Model,
    painting: PictureSource,
    name: str | None = None,
    side: int = STYLE_SIDE,
) -> StyleStatistics:
    """Measure the style of a painting, with its colours.

    Args:
        model: The network.
        painting: A picture file, or what else `read_picture` takes.
        name: What error messages call it.
        side: Its shorter side in pixels; a smaller painting is measured as it is. At a larger
            one the strokes are broader and softer.

    Raises:
        ImageError: If the painting cannot be read.
    """
    picture = resize_shorter_side(read_picture(painting, name), side)
    return measure_pixels(model, picture.pixels)
