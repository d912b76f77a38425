"""Pictures for tests."""

from io import BytesIO

import numpy as np
from PIL import Image


def picture(
    width: int = 64, height: int = 48, mode: str = "RGB", format: str = "PNG", seed: int = 0
) -> bytes:
    """Return a picture file of seeded noise, one letter of the mode for each channel."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, len(mode)), np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()
