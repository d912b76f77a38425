"""A camera: one look holds, follows what changes, and begins anew where it must."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain.config import Controls
from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.painting.stylize import stylize_picture
from adain.painting.tiling import measure_pixels
from adain.video.camera import Camera


def scene(seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((64, 120), Image.Resampling.BICUBIC))


def differ(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    return float(np.abs(first.astype(float) - second).mean())


def test_a_camera_is_calm_and_follows(tiny_model: Model) -> None:
    style = measure_pixels(tiny_model, Picture(scene(9)).pixels)
    camera = Camera()

    def paint(pixels: NDArray[np.uint8], **options: object) -> NDArray[np.uint8]:
        return camera(tiny_model, Picture(pixels), style, **options).to_array()  # type: ignore[arg-type]

    def alone(pixels: NDArray[np.uint8], alpha: float = 1.0) -> NDArray[np.uint8]:
        return stylize_picture(tiny_model, Picture(pixels), style, alpha=alpha).to_array()

    assert differ(paint(scene(0)), alone(scene(0))) <= 1
    waved = scene(0).copy()
    waved[:16, :16] = 255  # Something small comes into view: the rest stays as it is.
    loose = differ(alone(waved)[90:], alone(scene(0))[90:])
    assert differ(paint(waved)[90:], paint(scene(0))[90:]) < 0.3 * loose
    brighter = [np.minimum(255, scene(0) * (1 + i / 100)).astype(np.uint8) for i in range(30)]
    results = [paint(each) for each in brighter]
    steps = [differ(a, b) for a, b in pairwise(results)]
    assert max(steps) < 4 * np.mean(steps) + 0.5  # No jump.
    assert differ(paint(scene(1)), alone(scene(1))) <= 1  # Turned away: anew at once.
    assert differ(paint(scene(1), alpha=0.5), alone(scene(1), 0.5)) <= 1
    assert paint(scene(1), controls=Controls(smooth=0.5)).shape == (120, 64, 3)
