"""Measure the style of a painting, by one rule for its size."""

from functools import lru_cache
from pathlib import Path

from adain.config import STYLE_SIDE
from adain.imaging.reading import PictureSource, read_picture
from adain.imaging.resizing import resize_shorter_side
from adain.network.model import StyleTransferModel
from adain.network.weights import DEFAULT_MODEL, load_model
from adain.styles.statistics import StyleStatistics


def measure_style(
    painting: PictureSource,
    model: StyleTransferModel | str | Path = DEFAULT_MODEL,
    *,
    name: str | None = None,
    side: int = STYLE_SIDE,
) -> StyleStatistics:
    """Measure the style of a painting.

    Args:
        painting: What `read_picture` takes.
        model: A model, or the name or path of one, which stays loaded.
        name: What error messages call the painting.
        side: Its shorter side in pixels; a smaller painting is measured as it is. At a larger
            one the strokes are broader and softer.

    Returns:
        Statistics of shape `(1, C)` at each layer.

    Raises:
        ImageError: If the painting cannot be read.
    """
    network = model if isinstance(model, StyleTransferModel) else loaded_model(model)
    return network.measure_style(resize_shorter_side(read_picture(painting, name), side).pixels)


@lru_cache(maxsize=2)
def loaded_model(name: str | Path) -> StyleTransferModel:
    """Return a model on the CPU that stays in memory; see `load_model`."""
    return load_model(name)
