"""The use case of `adain compare`: one photo in one style, made in several ways, on one sheet."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain.engine.model import Model
from adain.imaging.pillow import to_image
from adain.imaging.reading import load_image
from adain.imaging.resizing import resize_image
from adain.network.loading import load_network
from adain.network.statistics import to_tensor
from adain.optimizing.config import GatysConfig, LossConfig
from adain.optimizing.gatys import Step
from adain.painting.stylize import stylize_picture
from adain.quality.gate import PassMeasure, measure_pass
from adain.quality.metrics import structural_similarity
from gallery.config import CompareConfig
from gallery.use_cases.previews import style_preview
from gallery.use_cases.render import STORED_LOSS, prepare_render, render_job, total_steps
from gallery.use_cases.sheets import Cell, Section, make_sheet
from gallery.use_cases.styles import FoundStyle

COLUMNS = 3

CELL_SIDE = 1024
"""Longest side in pixels of a painting on a sheet."""

DEFAULTS = CompareConfig()


@dataclass(frozen=True)
class Row:
    """One way to make the picture, and how good it is.

    Attributes:
        name: `photo`, `strength A` or `render N`.
        measure: Distances to style and content, and fine noise.
        ssim: Structural similarity to the photo, 1 for the photo itself.
        seconds: What it took, with all loaded and a style that is known; None for the photo.
        steps: Steps of a render.
        image: The picture, `(H, W, 3)` in [0, 1].
    """

    name: str
    measure: PassMeasure
    ssim: float
    seconds: float | None
    steps: int | None
    image: NDArray[np.float32]

    def figures(self) -> dict[str, Any]:
        """Return all but the picture, for JSON."""
        return {
            "name": self.name,
            **{name: round(value, 6) for name, value in asdict(self.measure).items()},
            "ssim": round(self.ssim, 6),
            "seconds": self.seconds if self.seconds is None else round(self.seconds, 3),
            "steps": self.steps,
        }


def compare(
    model: Model,
    photo: Path,
    found: FoundStyle,
    config: CompareConfig = DEFAULTS,
    on_share: Callable[[float], None] = lambda share: None,
) -> list[Row]:
    """Make a photo in a style in every way of a configuration.

    Args:
        model: The network.
        photo: A picture file.
        found: The style; without pictures of all its parts, statistics have to do.
        config: Which ways, and how large.
        on_share: Told the share of the work that is done, in [0, 1].

    Returns:
        The photo itself, one pass at each strength, and a render with each budget.

    Raises:
        ImageError: If a picture cannot be read.
        StylesError: If the style is neither measured nor at hand.
        ImageTooLargeError: If the memory does not suffice.
    """
    picture = load_image(photo)
    pixels = resize_image(picture, config.max_side).pixels
    style = found.resolve(model).statistics
    encoder = load_network(model).encoder

    def row(
        name: str, image: NDArray[np.float32], seconds: float | None, steps: int | None = None
    ) -> Row:
        similarity = structural_similarity(to_tensor(image), to_tensor(pixels)).item()
        quality = measure_pass(encoder, pixels, image, style)
        return Row(name, quality, similarity, seconds, steps, image)

    rows = [row("photo", pixels, None)]
    for alpha in config.alphas:
        start = time.perf_counter()
        result = stylize_picture(model, picture, style, alpha=alpha, max_side=config.max_side)
        rows.append(row(f"strength {alpha:g}", result.pixels, time.perf_counter() - start))
    loss = LossConfig() if found.pictures else STORED_LOSS
    done = 0
    for steps in config.steps:
        gatys = GatysConfig(loss, first_iterations=steps, iterations=steps)
        job = prepare_render(model, photo, found, gatys, "one-pass", config.max_side)
        start = time.perf_counter()
        every = total_steps(job) // steps * sum(config.steps)

        def watch(step: Step, done: int = done, every: int = every) -> None:
            on_share((done + step.done) / every)

        rendering = render_job(job, on_step=watch)
        seconds = time.perf_counter() - start
        rows.append(row(f"render {steps}", rendering.image, seconds, rendering.iterations))
        done += total_steps(job)
    return rows


def style_cells(model: Model, found: FoundStyle) -> list[Cell]:
    """Return the picture of each style, or where it is not at hand a preview of its statistics.

    Raises:
        StylesError: If one of these was not measured.
        ImageError: If a picture cannot be read.
    """
    cells = []
    for part in found.parts:
        weight = "" if part.weight == 1 else f", weight {part.weight:g}"
        if part.picture is not None:
            image = _thumbnail(part.picture)
            name = part.picture.name if part.is_file else part.slug
        else:
            image = Image.open(BytesIO(style_preview(model, part.resolve(model))))
            name = f"{part.slug} (no picture at hand: the example in it)"
        cells.append(Cell(image, (f"{name}{weight}",)))
    return cells


def comparison_sheet(title: str, rows: Sequence[Row], styles: Sequence[Cell]) -> Image.Image:
    """Return photo and styles, one pass, and renders, with their figures under them."""
    photo, *others = rows
    height, width = photo.image.shape[:2]
    top = [Cell(to_image(photo.image), (f"photo, {width}x{height}",)), *styles]
    passes = [_cell(row) for row in others if row.steps is None]
    renders = [_cell(row) for row in others if row.steps is not None]
    return make_sheet(
        [
            Section(title, top, COLUMNS),
            Section("One pass", passes, COLUMNS),
            Section("Renders", renders, COLUMNS),
        ]
    )


def _cell(row: Row) -> Cell:
    way = row.name if row.steps is None else f"{row.steps} steps"
    return Cell(
        to_image(row.image),
        (
            f"{way}: {row.seconds:.2f} s, SSIM {row.ssim:.2f}",
            f"style loss {row.measure.style:.3f}, content loss {row.measure.content:.3f}",
        ),
    )


def _thumbnail(path: Path) -> Image.Image:
    return to_image(resize_image(load_image(path), CELL_SIDE))
