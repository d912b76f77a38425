"""Pictures that say where: strengths and regions of styles."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from adain.color import LUMA
from adain.filters import gaussian_blur
from adain.images import Picture
from gallery.errors import MaskError

SHAPE_TOLERANCE = 0.01
"""Share by which the aspect ratio of a mask may differ from that of its photo, by rounding."""

LABEL_DISTANCE = 40
"""Levels by which a channel may differ from the colour of its label: what JPEG does to it."""

LABEL_SHARE = 0.005
"""Part of a picture that a colour takes at least to be a label, not the soft edge of one."""


def strength_map(mask: Picture, photo: Picture, size: tuple[int, int]) -> Tensor:
    """Return the grey values of a mask, shape `(1, 1, *size)`, in [0, 1].

    Args:
        mask: White is 1; where it is transparent, it counts as black.
        photo: What the mask belongs to.
        size: Height and width in pixels.

    Raises:
        MaskError: If the mask has not the shape of the photo.
    """
    _check_shape(mask, photo)
    return _resize(_grey(mask), size)


def region_weights(
    masks: Sequence[Picture], styles: int, photo: Picture, size: tuple[int, int], feather: float
) -> Tensor:
    """Return how much each style counts at each pixel.

    Args:
        masks: One grey picture for each style, or one picture with a colour for each.
        styles: Number of styles.
        photo: What the masks belong to.
        size: Height and width in pixels.
        feather: Pixels of this size over which regions fade into one another.

    Returns:
        Shape `(styles, 1, *size)`, in [0, 1]. Where the masks add up to more than 1, the styles
        share the place in their proportion; where to less, the photo keeps the rest.

    Raises:
        MaskError: If a mask has not the shape of the photo, or the masks do not fit the styles.
    """
    for mask in masks:
        _check_shape(mask, photo)
    if len(masks) == styles:
        weights = torch.cat([_resize(_grey(mask), size) for mask in masks])
    elif len(masks) == 1:
        weights = _resize(_labels(masks[0], styles), size)
    else:
        raise MaskError(
            f"{len(masks)} masks for {styles} styles; give one mask for each style, or one with "
            "a colour for each"
        )
    if feather:
        weights = gaussian_blur(weights, feather / 2)
    return weights / weights.sum(0, keepdim=True).clamp_min(1)


def _check_shape(mask: Picture, photo: Picture) -> None:
    expected = mask.height * photo.width / photo.height
    if abs(mask.width - expected) > max(1, SHAPE_TOLERANCE * expected):
        raise MaskError(
            f"{mask.name}: {mask.width}x{mask.height} has not the shape of {photo.name}, "
            f"{photo.width}x{photo.height}; make a mask of that size"
        )


def _grey(mask: Picture) -> Tensor:
    luma = torch.tensor(LUMA)[:, None, None]
    grey = (mask.pixels * luma).sum(1, keepdim=True)
    return grey if mask.transparency is None else grey * mask.transparency


def _resize(weights: Tensor, size: tuple[int, int]) -> Tensor:
    if weights.shape[2:] == size:
        return weights
    return F.interpolate(weights, size, mode="bilinear", antialias=True).clamp(0, 1)


def _labels(mask: Picture, styles: int) -> Tensor:
    """Return where each colour of a label picture is, from dark to bright, `(styles, 1, H, W)`."""
    levels = mask.pixels[0].mul(255).round().byte().flatten(1).T.numpy()
    colors, places, counts = np.unique(levels, axis=0, return_inverse=True, return_counts=True)
    if len(colors) != styles:
        chosen = _frequent_colors(colors, counts)
        if len(chosen) != styles:
            if styles == 2 and np.ptp(colors.astype(int), axis=1).max() <= LABEL_DISTANCE:
                grey = _grey(mask)  # No labels: a smooth way from one style to the other.
                return torch.cat((1 - grey, grey))
            names = ", ".join("#" + bytes(color).hex() for color in chosen[:9])
            raise MaskError(
                f"{mask.name}: has {len(chosen)} colours ({names}) for {styles} styles; give as "
                "many styles as colours, or one mask for each style"
            )
        nearest = [np.abs(colors.astype(int) - color).max(1) for color in chosen.astype(int)]
        places = np.argmin(nearest, axis=0)[places.ravel()]
        colors = chosen
    order = np.argsort(colors @ np.array(LUMA), kind="stable")
    labels = torch.from_numpy(places.reshape(mask.height, mask.width))
    return torch.stack([(labels == int(i)).float()[None] for i in order])


def _frequent_colors(colors: NDArray[np.uint8], counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the colours that are labels: often there, and unlike one another."""
    chosen: list[NDArray[np.uint8]] = []
    left = np.ones(len(colors), bool)
    total = counts.sum()
    while left.any():
        most = np.argmax(np.where(left, counts, 0))
        near = left & (np.abs(colors.astype(int) - colors[most]).max(1) <= LABEL_DISTANCE)
        if counts[near].sum() < LABEL_SHARE * total:
            break
        chosen.append(colors[most])
        left &= ~near
    return np.array(chosen)
