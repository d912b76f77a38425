"""Photos, paintings and masks as Python gives them: paths, bytes, Pillow images, arrays."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain.errors import ImageError
from adain.imaging.conversion import fill_clear
from adain.imaging.picture import Picture
from adain.imaging.pillow import from_image
from adain.imaging.reading import check_size, load_image

PictureSource = str | Path | bytes | BinaryIO | Image.Image | NDArray[Any] | Picture
"""A file, its content, a Pillow image, an array as `picture_from_array` takes it, or a picture."""


def read_picture(source: PictureSource, name: str | None = None) -> Picture:
    """Return the picture that is meant, upright, in sRGB, transparency apart.

    Args:
        source: The picture.
        name: What error messages call it; by default its path.

    Raises:
        ImageError: If it cannot be read, or is too small, too thin or too large.
        TypeError: If it is something else.
    """
    if isinstance(source, Image.Image):
        picture = from_image(source, name or "picture")
    elif isinstance(source, np.ndarray):
        picture = picture_from_array(source, name or "picture")
    elif isinstance(source, Picture):
        picture = source
    elif isinstance(source, str | Path | bytes) or hasattr(source, "read"):
        return load_image(source, name=name)
    else:
        raise TypeError(
            "expected a path, bytes, a file, a Pillow image, an array or a Picture, "
            f"got {type(source).__name__}"
        )
    check_size(picture.width, picture.height, name=picture.name)
    return picture


def picture_from_array(array: NDArray[Any], name: str = "picture") -> Picture:
    """Return an array as a picture.

    Args:
        array: sRGB, shape `(H, W, 3)`, or `(H, W, 4)` with transparency: uint8, uint16, or
            floating point in [0, 1].
        name: What error messages call it.

    Raises:
        ImageError: If it is of another shape or type, or a number is beyond the range.
    """
    if array.ndim != 3 or array.shape[2] not in (3, 4) or not array.size:
        raise ImageError(f"{name}: expected an array (H, W, 3) or (H, W, 4), got {array.shape}")
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # False for NaN, too.
            raise ImageError(f"{name}: floating point must be from 0 to 1; divide by the white")
        if array.shape[2] == 3:
            return Picture(array.astype(np.float32), name=name)
        array = np.rint(array * 65535).astype(np.uint16)  # Clear pixels are filled in levels.
    if array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{name}: expected uint8, uint16 or floating point, got {array.dtype}")
    colors = array[..., :3].copy()
    if array.shape[2] == 3 or array[..., 3].min() == np.iinfo(array.dtype).max:
        return Picture(colors, name=name)
    opacity = array[..., 3].copy()
    fill_clear(colors, opacity)
    return Picture(colors, opacity, name)
