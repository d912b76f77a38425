"""The use case of `adain inspect`: a sheet of what the network sees in a photo."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain.engine.device import is_out_of_memory
from adain.errors import ImageTooLargeError
from adain.imaging.picture import Picture
from adain.imaging.pillow import to_image
from adain.imaging.resizing import resize_image
from adain.network.encoder import Encoder
from adain.network.statistics import layer_scale
from adain.optimizing.inspection import (
    Inversion,
    channel_profile,
    feature_maps,
    gram_picture,
    invert_features,
    layer_names,
)
from gallery.config import InspectConfig
from gallery.use_cases.sheets import Cell, Section, colorize, make_sheet

DEFAULTS = InspectConfig()

MAP_COLUMNS = 8

INVERSION_PIXELS = 128 * 128
"""Size of the reconstructions, at most: at this one all five together take seconds."""


@dataclass(frozen=True)
class Inspection:
    """The findings of a look into the network.

    Attributes:
        sheet: The sheet.
        channels: For each channel of the layer: `channel`, `mean`, `std`, `active` and `share`,
            as in `adain.optimizing.inspection.ChannelProfile`.
        reconstructions: For each layer: `layer` and the relative `distance` of its features.
    """

    sheet: Image.Image
    channels: list[dict[str, float]]
    reconstructions: list[dict[str, Any]]


def inspect_picture(
    encoder: Encoder,
    picture: Picture,
    config: InspectConfig = DEFAULTS,
    progress: Callable[[float], None] = lambda share: None,
) -> Inspection:
    """Look at a photo through an encoder.

    Args:
        encoder: The network.
        picture: The photo.
        config: Which layer, how many maps, how large, how many steps.
        progress: Told the share of the work that is done, in [0, 1].

    Raises:
        ValueError: If there is no such layer, which is told with those that there are.
        ImageTooLargeError: If the memory does not suffice.
    """
    photo = resize_image(picture, config.max_side)
    pixels = photo.pixels
    try:
        maps = feature_maps(encoder, pixels, config.layer, config.maps)
        profile = channel_profile(encoder, pixels, config.layer)
        gram = gram_picture(encoder, pixels, config.layer)
        inversions = _invert(encoder, _small(photo).pixels, config, progress)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ImageTooLargeError(
            f"{picture.name}: not enough memory to inspect {photo.width}x{photo.height} pixels; "
            "give a smaller max-side"
        ) from error
    count = len(profile.mean)
    first = [
        Cell(to_image(pixels), (f"{Path(picture.name).name}, {photo.width}x{photo.height}",)),
        Cell(
            colorize(_stretch(gram)),
            (f"Which of the {count} channels respond together (Gram matrix)",),
        ),
    ]
    cells = [
        Cell(colorize(found.values), (f"channel {found.channel}: {found.share:.1%}",))
        for found in maps
    ]
    remade = [
        Cell(to_image(each.image), (each.layer, f"features {each.distance:.1%} away"))
        for each in inversions
    ]
    sheet = make_sheet(
        [
            Section(f"What the network sees at {config.layer}", first, 2),
            Section(
                f"The {len(maps)} strongest of {count} channels, with their part of the energy",
                cells,
                MAP_COLUMNS,
            ),
            Section("What each layer keeps: pictures made from its features alone", remade, 5),
        ]
    )
    columns = {name: values.tolist() for name, values in vars(profile).items()}
    channels = [
        {"channel": i, **{name: values[i] for name, values in columns.items()}}
        for i in range(count)
    ]
    return Inspection(
        sheet, channels, [{"layer": each.layer, "distance": each.distance} for each in inversions]
    )


def _invert(
    encoder: Encoder,
    photo: NDArray[np.float32],
    config: InspectConfig,
    progress: Callable[[float], None],
) -> list[Inversion]:
    """Return the photo as the first layer of each block knows it, where it is large enough."""
    layers = [
        name
        for name in layer_names(encoder)
        if name.endswith("_1") and min(photo.shape[:2]) >= 2 * layer_scale(name)
    ]
    steps = 0

    def count(step: int) -> None:
        nonlocal steps
        steps += 1
        progress(steps / (config.iterations * len(layers)))

    return [
        invert_features(encoder, photo, layer, config.iterations, on_step=count) for layer in layers
    ]


def _stretch(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values up to 1 with the smallest at 0: most Gram matrices have none near it."""
    low = values.min()
    stretched: NDArray[np.float32] = (values - low) / max(1 - low, 1e-6)
    return stretched


def _small(photo: Picture) -> Picture:
    longest = max(photo.width, photo.height)
    factor = math.sqrt(INVERSION_PIXELS / (photo.width * photo.height))
    return resize_image(photo, max(1, round(longest * factor))) if factor < 1 else photo
