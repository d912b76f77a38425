"""The use case of `adain render`: a photo, a style, and an optimisation that is watched."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from adain.config import Controls
from adain.engine.device import (
    LAYER_BLOCK,
    is_out_of_memory,
    keep_freed_memory,
    release_memory,
    resident_memory,
)
from adain.engine.model import Model
from adain.errors import ImageTooLargeError, MaskError
from adain.imaging.picture import Picture, to_unit
from adain.imaging.pillow import to_image
from adain.imaging.reading import load_image
from adain.imaging.resizing import resize_image
from adain.imaging.writing import save_image
from adain.network import pretrained
from adain.network.loading import load_network
from adain.network.statistics import to_pixels, to_tensor
from adain.optimizing.checkpoint import Checkpoint
from adain.optimizing.config import STORED_CONTENT_WEIGHT, GatysConfig, LossConfig
from adain.optimizing.gatys import Rendering, Step, optimize_image
from adain.optimizing.pyramid import scale_sizes, scale_steps
from adain.optimizing.targets import Paintings, resize_pixels
from adain.painting.finishing import finish_pixels
from adain.painting.masks import region_weights
from adain.painting.tiling import paint_pixels
from adain.styles.statistics import StyleStatistics
from gallery.config import RenderConfig
from gallery.errors import OutputError
from gallery.files import write_file
from gallery.use_cases.checkpoints import Run, checkpoint_path, save_checkpoint
from gallery.use_cases.styles import FoundStyle

FRAMES = 48
"""Frames of an animation, about."""

FRAME_SIDE = 512
"""Longest side of a frame in pixels."""

FRAME_MILLISECONDS = 80

STORED_LOSS = LossConfig(content_weight=STORED_CONTENT_WEIGHT, style_loss="statistics")
"""For styles of which only statistics are at hand.

Their loss is smaller than that of pictures: at the content weight for those, a render is hardly
more than a photo in other colours, with fringes.
"""


@dataclass(frozen=True)
class RenderJob:
    """Everything that a render needs.

    Attributes:
        photo: At the size of the result.
        style: Paintings with weights, or a stored style.
        start: Shape `(H, W, 3)` of the photo; None begins with noise.
        config: How to optimise.
        run: What identifies the run, for its checkpoint.
        encoder: The perceptual network, on the device that computes.
        controls: What is done to the pixels of the result; the steps know nothing of it.
        regions: How much each painting counts at each pixel, `(paintings, H, W)` in [0, 1]; the
            photo keeps the rest. None mixes them everywhere.
        memory: Bytes that the process may use; None uses up to about half of what is free.
    """

    photo: Picture
    style: Paintings | StyleStatistics
    start: NDArray[np.float32] | None
    config: GatysConfig
    run: Run
    encoder: nn.Module
    controls: Controls = Controls()
    regions: NDArray[np.float32] | None = None
    memory: int | None = None


def prepare_render(
    model: Model,
    photo: Path,
    found: FoundStyle,
    config: GatysConfig,
    init: str,
    max_side: int,
    network: str | None = None,
    controls: Controls = Controls(),
    memory: int | None = None,
) -> RenderJob:
    """Load what a render needs.

    Args:
        model: Makes the one-pass start.
        photo: A picture file.
        found: The style; without pictures of all its parts, statistics have to do.
        config: How to optimise.
        init: `one-pass`, `photo`, `noise`, or the path of a picture, which is stretched to the
            photo's size.
        max_side: Longest side of the result in pixels.
        network: The perceptual network, of `pretrained.NETWORKS`; None takes the model's encoder.
        controls: Where each painting goes; colours, edges and grain of the result.
        memory: Bytes that the process may use.

    Raises:
        ImageError: If a picture cannot be read.
        StylesError: If the style is neither measured nor at hand.
        WeightsError: If the network is not here.
        MaskError: If a mask does not fit.
        ValueError: If statistics alone are to be compared by another network than theirs.
    """
    files = found.pictures
    if network and files is None:
        raise ValueError(
            f"network {network} needs pictures of the style; its statistics are of another"
        )
    if network:
        encoder: nn.Module = pretrained.load_network(network).to(model.device)
    else:
        encoder = load_network(model).encoder
    original = load_image(photo)
    picture = resize_image(original, max_side)
    style: Paintings | StyleStatistics
    if files is None:
        style = found.resolve(model).statistics
    else:
        style = [(load_image(file).pixels, weight) for file, weight in files]
    regions = None
    if controls.masks:
        count = len(style.to_vector()) if isinstance(style, StyleStatistics) else len(style)
        masks = [load_image(mask) for mask in controls.masks]
        feather = controls.feather * picture.width / original.width
        regions = place_styles(masks, count, picture, feather)
    if init == "one-pass":
        measured = style if isinstance(style, StyleStatistics) else found.resolve(model).statistics
        start = one_pass(model, picture.pixels, measured, regions)
    elif init == "photo":
        start = picture.pixels
    elif init == "noise":
        start = None
    else:
        start = _stretch(load_image(Path(init)), picture)
    run = _identify(network or model.fingerprint, picture, style, start, config, regions)
    if init == "one-pass":
        # By name: the last bits of its pixels are those of a machine and its threads.
        run["init"] = f"one-pass {model.digest.hex()[:16]}"
    return RenderJob(picture, style, start, config, run, encoder, controls, regions, memory)


def render_job(
    job: RenderJob,
    resume: Checkpoint | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Rendering:
    """Optimise the picture of a job.

    Raises:
        ImageTooLargeError: If the memory does not suffice.
        OptimizationError: If not even the start has a finite loss.
    """
    keep_freed_memory(LAYER_BLOCK)
    if job.memory is not None:
        release_memory()
    try:
        return optimize_image(
            job.encoder,
            job.photo.pixels,
            job.style,
            job.config,
            start=job.start,
            regions=job.regions,
            resume=resume,
            memory=None if job.memory is None else job.memory - resident_memory(),
            on_step=on_step,
            should_stop=should_stop,
        )
    except ImageTooLargeError as error:
        raise ImageTooLargeError(f"{job.photo.name}: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        size = f"{job.photo.width}x{job.photo.height}"
        raise ImageTooLargeError(
            f"{job.photo.name}: not enough memory to render {size} pixels; give a smaller max-side"
        ) from error


def place_styles(
    masks: Sequence[Picture], styles: int, photo: Picture, feather: float
) -> NDArray[np.float32]:
    """Return how much each style counts at each pixel of a photo, `(styles, H, W)` in [0, 1].

    Raises:
        MaskError: If the masks do not fit, or a style has no place in them.
    """
    size = (photo.height, photo.width)
    regions = to_unit(region_weights(masks, styles, photo, size, feather))
    if not (regions.max((1, 2)) > 0).all():
        raise MaskError("a style has no place in the masks; leave it away")
    return regions


def one_pass(
    model: Model,
    photo: NDArray[np.float32],
    style: StyleStatistics,
    regions: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Return what a render begins with: a photo `(H, W, 3)` in a style, or in one a region."""
    passes = [paint_pixels(model, photo, each, 1.0) for each in style.split()]
    return passes[0] if regions is None else lay_over(photo, np.stack(passes), regions)


def lay_over(
    photo: NDArray[np.float32], painted: NDArray[np.float32], regions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the photo under one or more pictures where their regions are.

    Args:
        photo: Shape `(H, W, 3)`.
        painted: One picture for all regions, `(H, W, 3)`, or one for each, `(N, H, W, 3)`.
        regions: Shape `(N, H, W)` in [0, 1].
    """
    shares = regions[..., None]
    laid: NDArray[np.float32] = photo * (1 - shares.sum(0)) + (painted * shares).sum(0)
    return laid.clip(0, 1)


def finish_render(job: RenderJob, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return optimised pixels `(H, W, 3)` as they are kept.

    They are finished, and laid on the photo where no style goes.
    """
    finished = finish_pixels(job.photo, pixels, job.controls)
    if job.regions is None:
        return finished
    return lay_over(job.photo.pixels, finished, job.regions)


def total_steps(job: RenderJob) -> int:
    """Return how many steps a job takes at most."""
    scales = len(scale_sizes(job.photo.height, job.photo.width, job.config.min_side))
    return sum(scale_steps(job.config, scales))


class Recorder:
    """Keeps what a run does: the picture and the checkpoint, losses, frames of an animation.

    Args:
        job: What is rendered.
        output: The file of the result.
        config: When to save, and how.
        plot: File of the drawing of the losses.
        animation: File of the animation.
    """

    def __init__(
        self,
        job: RenderJob,
        output: Path,
        config: RenderConfig,
        plot: Path | None = None,
        animation: Path | None = None,
    ) -> None:
        self.job = job
        self.output = output
        self.config = config
        self.plot = plot
        self.animation = animation
        self.curve: list[LossPoint] = []
        self.frames: list[Image.Image] = []
        self.replace = config.overwrite or config.resume

    def watch(self, step: Step) -> None:
        """Keep what a step did."""
        if self.animation and len(self.curve) % max(1, total_steps(self.job) // FRAMES) == 0:
            self._film(step.preview())
        self.curve.append(LossPoint(step.scale, dict(step.losses)))
        if self.config.save_every and len(self.curve) % self.config.save_every == 0:
            self._save(step.preview())
            self._save_checkpoint(step.checkpoint)

    def finish(self, rendering: Rendering) -> None:
        """Keep the result; the checkpoint stays only if there is something to go on with."""
        self._save(rendering.image)
        if rendering.ended in ("stopped", "time limit"):
            self._save_checkpoint(rendering.checkpoint)
        else:
            checkpoint_path(self.output).unlink(missing_ok=True)
        if self.plot:
            save_image(plot_losses(self.curve), self.plot, overwrite=self.config.overwrite)
        if self.animation:
            self._film(rendering.image)
            write_file(self.animation, encode_animation(self.frames))

    def _save(self, pixels: NDArray[np.float32]) -> None:
        image = to_image(finish_render(self.job, pixels), self.job.photo.transparency)
        quality = self.config.jpeg_quality
        save_image(image, self.output, jpeg_quality=quality, overwrite=self.replace)
        self.replace = True  # The file is this run's own now.

    def _save_checkpoint(self, checkpoint: Checkpoint) -> None:
        save_checkpoint(checkpoint, self.job.run, checkpoint_path(self.output))

    def _film(self, pixels: NDArray[np.float32]) -> None:
        self.frames.append(to_image(resize_image(Picture(pixels), FRAME_SIDE)))


@dataclass(frozen=True)
class LossPoint:
    """The losses of a step, without its pictures."""

    scale: int
    losses: Mapping[str, float]


def encode_animation(frames: Sequence[Image.Image]) -> bytes:
    """Return frames of one size as an animated WebP that rests on the last one."""
    durations = [FRAME_MILLISECONDS] * (len(frames) - 1) + [25 * FRAME_MILLISECONDS]
    buffer = BytesIO()
    frames[0].save(
        buffer, "webp", save_all=True, append_images=frames[1:], duration=durations, loop=0,
        quality=85,
    )  # fmt: skip
    return buffer.getvalue()


def plot_losses(curve: Sequence[LossPoint]) -> Image.Image:
    """Draw total, content and style over the steps, with a line where a scale begins.

    Raises:
        OutputError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError("a plot needs matplotlib; install adain with its extra 'plot'") from error
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, label in (("loss", "total"), ("style", "style"), ("content", "content")):
        axes.plot([point.losses[name] for point in curve], label=label)
    for i, (before, after) in enumerate(pairwise(curve), start=1):
        if after.scale != before.scale:
            axes.axvline(i, color="grey", linestyle=":")
    axes.set(yscale="log", xlabel="step", ylabel="loss, relative to its target")
    axes.legend()
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return Image.open(buffer)


def _stretch(picture: Picture, photo: Picture) -> NDArray[np.float32]:
    size = (photo.height, photo.width)
    return to_pixels(resize_pixels(to_tensor(picture.pixels), size).clamp(0, 1))


def _identify(
    encoder: str,
    photo: Picture,
    style: Paintings | StyleStatistics,
    start: NDArray[np.float32] | None,
    config: GatysConfig,
    regions: NDArray[np.float32] | None,
) -> Run:
    """Return what decides a run's result, in the form that JSON gives back."""
    if isinstance(style, StyleStatistics):
        styles = [_digest(replace(style, colors=None).to_vector())]
    else:
        styles = [f"{_picture_digest(painting)} {weight}" for painting, weight in style]
    settings = asdict(config)
    # More time leads further along the same way.
    del settings["time_limit"]
    facts = {
        "encoder": encoder,
        "photo": _picture_digest(photo.pixels),
        "style": styles,
        "regions": None if regions is None else _digest(regions),
        "init": None if start is None else _picture_digest(start),
        **settings.pop("loss"),
        **settings,
    }
    run: Run = json.loads(json.dumps(facts))
    return run


def _picture_digest(pixels: NDArray[np.float32]) -> str:
    """Return the digest of a picture `(H, W, 3)`, channel by channel as checkpoints have it."""
    return _digest(pixels.transpose(2, 0, 1))


def _digest(values: NDArray[np.float32]) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]
