"""Previews: what a painting's style does to one and the same small picture."""

from collections import OrderedDict
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from adain.images import encode_image, to_image
from adain.model import StyleTransferModel
from adain.normalization import StyleStatistics

SIZE = (256, 208)
"""Width and height in pixels."""

FORMAT, QUALITY = "webp", 80

KEPT = 4000
"""Previews that are kept in memory, some 20 KB each."""


def render_preview(model: StyleTransferModel, style: StyleStatistics) -> bytes:
    """Return the preview of a style, as a WebP file."""
    pixels = torch.from_numpy(example_picture().transpose(2, 0, 1)[None].copy())
    return encode_image(to_image(model.stylize(pixels, style)), FORMAT, QUALITY)


def example_file() -> bytes:
    """Return the example, larger, as a JPEG file."""
    width, height = SIZE
    pixels = np.rint(example_picture(4 * width, 4 * height) * 255).astype(np.uint8)
    return encode_image(Image.fromarray(pixels), "jpeg", 92)


@cache
def example_picture(width: int = SIZE[0], height: int = SIZE[1]) -> NDArray[np.float32]:
    """Draw a lake between mountains at sunset, shape `(H, W, 3)` in [0, 1].

    It has what styles differ in: flat and graded areas, hard edges, texture, light and dark,
    warm and cold.
    """
    generator = np.random.default_rng(20)
    x = np.linspace(0, 1, width)[None, :]
    y = np.linspace(0, 1, height)[:, None]
    shore = 0.62

    def mix(a: str, b: str, share: NDArray[np.float64]) -> NDArray[np.float64]:
        return _color(a) + (_color(b) - _color(a)) * np.clip(share, 0, 1)[..., None]

    def ridge(level: float, swing: float, roughness: int) -> NDArray[np.float64]:
        line = np.full(width, level)
        for octave in range(roughness):
            phase, share = generator.uniform(0, 6.28), swing / 1.9**octave
            line -= share * np.abs(np.sin(phase + x[0] * 3.1 * 1.93**octave))
        return line[None, :]

    picture = mix("#3f6ea8", "#f7c98b", (y / shore) ** 1.4 + 0 * x)
    clouds = sum(
        np.sin(x * 9 * 1.8**k + y * 31 * 1.7**k + generator.uniform(0, 6)) / 1.6**k
        for k in range(5)
    )
    picture = picture + 0.07 * np.clip(np.asarray(clouds), 0, 2)[..., None] * (y < shore)[..., None]
    sun = np.hypot((x - 0.68) * width / height, y - 0.36)
    glow = np.exp(-((sun / 0.24) ** 2))[..., None]
    picture = picture * (1 - 0.55 * glow) + _color("#ffe2a0") * 0.55 * glow
    picture = np.where((sun < 0.06)[..., None], _color("#fff4cf"), picture)
    for level, swing, near, far in (
        (0.62, 0.2, "#5d6f96", "#8f9dbb"),
        (0.68, 0.15, "#35506b", "#4f6d80"),
        (0.69, 0.06, "#21423a", "#2f5b45"),
    ):
        line = ridge(level, swing, 6)
        picture = np.where((y > line)[..., None], mix(far, near, (y - line) * 6), picture)
    rows = np.clip(2 * shore - y[:, 0] * 1.0, 0, 1)
    mirror = picture[np.clip((rows * (height - 1)).astype(int), 0, height - 1)]
    waves = np.sin(y * height * 0.9 + 4 * np.sin(x * 14 + y * 50)) * 0.04 * (y - shore + 0.05) * 6
    water = mirror * 0.72 + _color("#1d4e6b") * 0.2 + waves[..., None]
    picture = np.where((y > shore)[..., None], water, picture)
    picture = _boat(picture, x, y)
    picture = _tree(picture, x, y, generator)
    return np.clip(picture, 0, 1).astype(np.float32)


class PreviewCache:
    """Previews in memory, by encoder, decoder and style; those not asked for longest go first."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, bytes] = OrderedDict()

    def get(self, name: str) -> bytes | None:
        """Return a preview, if it is there."""
        if name in self._files:
            self._files.move_to_end(name)
        return self._files.get(name)

    def keep(self, name: str, data: bytes) -> None:
        """Keep a preview."""
        self._files[name] = data
        if len(self._files) > KEPT:
            self._files.popitem(last=False)


def _boat(
    picture: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    hull = (np.abs(x - 0.36) < 0.075 - 0.9 * np.abs(y - 0.725)) & (y > 0.725) & (y < 0.755)
    left = (x < 0.36) & (x > 0.36 - 0.16 * (y - 0.45) / 0.42) & (y > 0.45) & (y < 0.715)
    right = (x > 0.366) & (x < 0.366 + 0.2 * (y - 0.5) / 0.5) & (y > 0.5) & (y < 0.715)
    for shape, color in ((hull, "#6d2f22"), (left, "#f6efe0"), (right, "#d8563a")):
        picture = np.where(shape[..., None], _color(color), picture)
    return picture


def _tree(
    picture: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    trunk = np.abs(x - 0.9 + 0.03 * np.sin(y * 7)) < 0.008 + 0.02 * np.clip(y - 0.5, 0, 1)
    picture = np.where((trunk & (y > 0.3))[..., None], _color("#2c2018"), picture)
    ratio = picture.shape[1] / picture.shape[0]
    for _ in range(130):
        angle, radius = generator.uniform(0, 6.28), 0.17 * generator.uniform() ** 0.5
        center = 0.9 + radius * np.cos(angle), 0.3 + 1.1 * radius * np.sin(angle)
        inside = np.hypot((x - center[0]) * ratio, y - center[1]) < generator.uniform(0.012, 0.03)
        green = _color("#23452a") + (_color("#7d9a3c") - _color("#23452a")) * generator.uniform()
        picture = np.where(inside[..., None], green, picture)
    grass = 0.93 + 0.02 * np.sin(x * 9) - 0.02 * np.abs(np.sin(x * 190 + 3 * np.sin(x * 41)))
    return np.where((y > grass)[..., None], _color("#2d4a22"), picture)


def _color(code: str) -> NDArray[np.float64]:
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
