"""The example photo: a still life that is drawn, so that it belongs to nobody else.

It has what styles differ in: flat and graded areas, hard and soft edges, fine texture, light and
dark, warm and cold colours.
"""

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 320, 256

SAMPLES = 2
"""Samples a pixel and direction, which smooth the edges."""

TABLE = 0.64
"""Where the table begins, in heights from the top."""

Layer = NDArray[np.float64]

FRUIT = (
    # x, y and radius in heights, colour
    (0.50, 0.70, 0.115, "#c8351f"),
    (0.71, 0.73, 0.100, "#e8961e"),
    (0.34, 0.77, 0.085, "#8fae2c"),
    (0.60, 0.82, 0.080, "#5b2a59"),
    (0.86, 0.82, 0.065, "#f2c230"),
)


@cache
def example_picture(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.float32]:
    """Draw fruit and a jug with leaves before a window's light, shape `(H, W, 3)` in [0, 1].

    The shapes keep their proportions; a wider picture shows more of the wall and the table.
    """
    rows, columns = height * SAMPLES, width * SAMPLES
    y, x = np.mgrid[:rows, :columns] / rows
    generator = np.random.default_rng(7)
    picture = _wall(x, y)
    below = y[:, 0] > TABLE
    picture[below] = _table(x[below], y[below])
    picture = _jug(picture, x, y, generator)
    for center_x, center_y, radius, color in sorted(FRUIT, key=lambda fruit: fruit[1]):
        picture = _fruit(picture, x, y, (center_x, center_y, radius), color)
    grain = _noise(rows, columns, 2 * SAMPLES, generator)[..., None] * 0.02
    drawn = np.clip(picture + grain, 0, 1)
    boxes = drawn.reshape(height, SAMPLES, width, SAMPLES, 3)
    result: NDArray[np.float32] = boxes.mean((1, 3)).astype(np.float32)
    return result


def _wall(x: Layer, y: Layer) -> Layer:
    light = np.exp(-(((x - 0.25) / 0.55) ** 2) - ((y - 0.15) / 0.6) ** 2)
    wall = _mix(_color("#33475e"), _color("#b9c6b4"), light)
    # The light of a window with a cross falls on the wall aslant.
    u, v = x - 0.12 - 0.12 * y, y - 0.06 + 0.1 * x
    pane = (np.abs(u - 0.16) < 0.15) & (np.abs(v - 0.2) < 0.17)
    cross = (np.abs(u - 0.16) < 0.012) | (np.abs(v - 0.2) < 0.012)
    return _mix(wall, _color("#fbe9b6"), 0.6 * (pane & ~cross))


def _table(x: Layer, y: Layer) -> Layer:
    depth = (y - TABLE) / (1 - TABLE)
    grain = np.sin(60 * y + 5 * np.sin(3 * x + 9 * y) + 1.5 * np.sin(17 * x))
    wood = _mix(_color("#5a3419"), _color("#b27a43"), 0.35 + 0.4 * depth + 0.16 * grain)
    # A blue cloth with white squares lies over the left corner.
    u, v = x + 0.55 * depth, depth
    cloth = u < 0.42 + 0.02 * np.sin(30 * v)
    lines = (np.sin(48 * u) > 0.72) | (np.sin(26 * v) > 0.72)
    fabric = np.where(lines[..., None], _color("#e9ecf2"), _color("#2f5c9e"))
    folds = 0.85 + 0.15 * np.sin(15 * u + 4 * v)
    return np.where(cloth[..., None], fabric * folds[..., None], wood)


def _jug(picture: Layer, x: Layer, y: Layer, generator: np.random.Generator) -> Layer:
    picture = picture.copy()
    for _ in range(46):
        angle, length = generator.uniform(-1.25, 1.25), generator.uniform(0.05, 0.28)
        tip = 0.98 + length * np.sin(angle), 0.33 - length * np.cos(angle)
        near = _around(*tip, 0.08, len(y))
        across, down = x[near] - tip[0], y[near] - tip[1]
        u = across * np.cos(angle) + down * np.sin(angle)
        v = -across * np.sin(angle) + down * np.cos(angle)
        leaf = (u / 0.02) ** 2 + (v / 0.075) ** 2 < 1
        shade = 0.5 + 0.5 * np.tanh(60 * u) + 0.3 * generator.normal()
        green = _mix(_color("#1d3b26"), _color("#9fb84a"), np.clip(shade, 0, 1))
        picture[near][leaf] = green[leaf]
    near = _around(0.98, 0.55, 0.24, len(y))
    x, y = x[near], y[near]
    body = np.clip((y - 0.33) / 0.43, 0, 1)
    half = 0.055 + 0.075 * np.sin(np.pi * body**0.8) ** 1.5
    across = (x - 0.98) / half
    inside = (np.abs(across) < 1) & (y > 0.33) & (y < 0.76 + 0.012 * np.sqrt(1 - _squash(across)))
    light = np.clip(0.75 - 0.55 * across - 0.5 * across**2, 0, 1)
    glaze = _mix(_color("#20313d"), _color("#e8e2d0"), light)
    band = (np.abs(body - 0.45) < 0.05) | (np.abs(body - 0.6) < 0.015)
    glaze = np.where(band[..., None], glaze * _color("#6f93d8"), glaze)
    picture[near][inside] = glaze[inside]
    return picture


def _fruit(
    picture: Layer, x: Layer, y: Layer, sphere: tuple[float, float, float], color: str
) -> Layer:
    """Lay a ball on the table: lit from the upper left, with its shadow to the right."""
    center_x, center_y, radius = sphere
    u, v = (x - center_x) / radius, (y - center_y) / radius
    shadow = np.exp(-(((u - 0.55) / 1.25) ** 2) - ((v - 0.85) / 0.38) ** 2) * (y > TABLE)
    picture = picture * (1 - 0.75 * shadow[..., None])
    near = _around(center_x, center_y, radius, len(y))
    u, v = u[near], v[near]
    w = np.sqrt(1 - _squash(np.hypot(u, v)))
    light = np.clip(-0.55 * u - 0.6 * v + 0.58 * w, 0, 1)
    skin = _mix(_color(color) * 0.22, _color(color), 0.12 + 1.05 * light)
    spots = np.sin(23 * u + 3 * v) * np.sin(19 * v - 4 * u) > 0.9
    skin = _mix(skin, _color("#f6dd8a"), 0.25 * spots)
    gloss = np.exp(-(((u + 0.38) / 0.2) ** 2) - ((v + 0.42) / 0.16) ** 2)
    skin = _mix(skin, _color("#fffaf0"), 0.85 * gloss)
    ball = np.hypot(u, v) < 1
    picture[near][ball] = skin[ball]
    return picture


def _around(x: float, y: float, radius: float, rows: int) -> tuple[slice, slice]:
    """Return the rows and columns within a radius, all in heights of the picture."""

    def span(center: float) -> slice:
        low, high = (center - radius) * rows, (center + radius) * rows
        return slice(max(0, math.floor(low)), max(0, math.ceil(high) + 1))

    return span(y), span(x)


def _noise(rows: int, columns: int, step: int, generator: np.random.Generator) -> Layer:
    """Return smooth noise of mean 0 whose grains are `step` samples wide."""
    coarse = generator.normal(size=(rows // step + 2, columns // step + 2)).astype(np.float32)
    image = Image.fromarray(coarse).resize((columns, rows), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float64)


def _squash(value: Layer) -> Layer:
    """Return the square, at most 1."""
    return np.clip(value**2, 0, 1)


def _mix(a: Layer, b: Layer, share: NDArray[Any]) -> Layer:
    weight: Layer = np.clip(share.astype(np.float64), 0, 1)
    return a + (b - a) * weight[..., None]


def _color(code: str) -> Layer:
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
