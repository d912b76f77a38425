"""The use case of `adain render`: a photo, a style, and an optimisation that is watched."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from adain.config import Controls
from adain.engine.device import is_out_of_memory, release_memory, resident_memory
from adain.errors import ImageTooLargeError, MaskError
from adain.imaging.picture import Picture
from adain.imaging.pillow import to_image
from adain.imaging.reading import load_image
from adain.imaging.resizing import resize_image
from adain.imaging.writing import save_image
from adain.network.model import StyleTransferModel
from adain.network.pretrained import load_network
from adain.optimizing.checkpoint import Checkpoint
from adain.optimizing.config import GatysConfig, LossConfig
from adain.optimizing.gatys import Rendering, Step, optimize_image
from adain.optimizing.pyramid import scale_sizes, scale_steps
from adain.optimizing.targets import Paintings, resize_pixels
from adain.painting.finishing import finish_pixels
from adain.painting.masks import region_weights
from adain.styles.statistics import StyleStatistics
from gallery.config import RenderConfig
from gallery.database.gallery import Gallery
from gallery.database.paintings import Painting
from gallery.errors import OutputError
from gallery.files import write_file
from gallery.use_cases.checkpoints import Run, checkpoint_path, save_checkpoint
from gallery.use_cases.references import Reference, find_target

FRAMES = 48
"""Frames of an animation, about."""

FRAME_SIDE = 512
"""Longest side of a frame in pixels."""

FRAME_MILLISECONDS = 80

STORED_LOSS = LossConfig(content_weight=0.02, style_loss="statistics")
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
        start: Shape `(1, 3, H, W)` of the photo; None begins with noise.
        config: How to optimise.
        run: What identifies the run, for its checkpoint.
        encoder: The perceptual network.
        controls: What is done to the pixels of the result; the steps know nothing of it.
        regions: How much each painting counts at each pixel, `(paintings, 1, H, W)` in [0, 1]; the
            photo keeps the rest. None mixes them everywhere.
        memory: Bytes that the process may use; None uses up to about half of what is free.
    """

    photo: Picture
    style: Paintings | StyleStatistics
    start: Tensor | None
    config: GatysConfig
    run: Run
    encoder: nn.Module
    controls: Controls = Controls()
    regions: Tensor | None = None
    memory: int | None = None


def painting_files(
    references: Sequence[Reference], open_gallery: Callable[[], Gallery]
) -> list[tuple[Path, float]] | None:
    """Return the pictures that references stand for, with weights.

    None if one of them has no picture at hand: an artist, a movement, or a painting that is
    known by its statistics alone.

    Raises:
        StyleNotFound: If a part is neither a file nor in the gallery.
    """
    files: list[tuple[Path, float]] = []
    for reference in references:
        if reference.is_file:
            files.append((Path(reference.name), reference.weight))
            continue
        target = find_target(open_gallery(), reference.name)
        if not isinstance(target, Painting) or not target.path or not os.path.isfile(target.path):
            return None
        files.append((Path(target.path), reference.weight))
    return files


def prepare_render(
    model: StyleTransferModel,
    photo: Path,
    files: Sequence[tuple[Path, float]] | None,
    measure: Callable[[StyleTransferModel], StyleStatistics],
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
        files: The paintings, with weights; None renders with statistics alone.
        measure: Gives the statistics of the style `(1, C)`, or with masks of each style `(N, C)`.
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
    if network and files is None:
        raise ValueError(
            f"network {network} needs pictures of the style; its statistics are of another"
        )
    encoder = load_network(network).to(model.device) if network else model.encoder
    original = load_image(photo)
    picture = resize_image(original, max_side)
    style: Paintings | StyleStatistics
    if files is None:
        style = measure(model)
    else:
        style = [(load_image(file).pixels.to(model.device), weight) for file, weight in files]
    pixels = picture.pixels.to(model.device)
    regions = None
    if controls.masks:
        count = len(style.to_vector()) if isinstance(style, StyleStatistics) else len(style)
        masks = [load_image(mask) for mask in controls.masks]
        feather = controls.feather * picture.width / original.width
        regions = place_styles(masks, count, picture, feather).to(pixels)
    if init == "one-pass":
        measured = style if isinstance(style, StyleStatistics) else measure(model)
        start = one_pass(model, pixels, measured, regions)
    elif init == "photo":
        start = pixels
    elif init == "noise":
        start = None
    else:
        start = _stretch(load_image(Path(init)), picture).to(model.device)
    run = _identify(network or model.fingerprint, picture, style, start, config, regions)
    return RenderJob(
        replace(picture, levels=pixels),
        style,
        start,
        config,
        run,
        encoder,
        controls,
        regions,
        memory,
    )


def render_job(
    model: StyleTransferModel,
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


def place_styles(masks: Sequence[Picture], styles: int, photo: Picture, feather: float) -> Tensor:
    """Return how much each style counts at each pixel of a photo, `(styles, 1, H, W)`.

    Raises:
        MaskError: If the masks do not fit, or a style has no place in them.
    """
    regions = region_weights(masks, styles, photo, (photo.height, photo.width), feather)
    if not (regions.amax((1, 2, 3)) > 0).all():
        raise MaskError("a style has no place in the masks; leave it away")
    return regions


def one_pass(
    model: StyleTransferModel, photo: Tensor, style: StyleStatistics, regions: Tensor | None
) -> Tensor:
    """Return what a render begins with: a photo `(1, 3, H, W)` in a style, or in one a region."""
    passes = [model.stylize(photo, each) for each in style.split()]
    return passes[0] if regions is None else lay_over(photo, torch.cat(passes), regions)


def lay_over(photo: Tensor, painted: Tensor, regions: Tensor) -> Tensor:
    """Return the photo `(1, 3, H, W)` under pictures `(1 or N, 3, H, W)` where regions are."""
    regions = regions.to(photo)
    covered = regions.sum(0, keepdim=True)
    return (photo * (1 - covered) + (painted * regions).sum(0, keepdim=True)).clamp(0, 1)


def finish_render(job: RenderJob, pixels: Tensor) -> Tensor:
    """Return optimised pixels as they are kept: finished, and on the photo where no style goes."""
    finished = finish_pixels(job.photo, pixels, job.controls)
    if job.regions is None:
        return finished
    return lay_over(job.photo.pixels.to(finished), finished, job.regions)


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

    def _save(self, pixels: Tensor) -> None:
        image = to_image(finish_render(self.job, pixels), self.job.photo.transparency)
        quality = self.config.jpeg_quality
        save_image(image, self.output, jpeg_quality=quality, overwrite=self.replace)
        self.replace = True  # The file is this run's own now.

    def _save_checkpoint(self, checkpoint: Checkpoint) -> None:
        save_checkpoint(checkpoint, self.job.run, checkpoint_path(self.output))

    def _film(self, pixels: Tensor) -> None:
        self.frames.append(to_image(resize_image(Picture(pixels.cpu()), FRAME_SIDE).pixels))


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


def _stretch(picture: Picture, photo: Picture) -> Tensor:
    size = (photo.height, photo.width)
    return resize_pixels(picture.pixels, size).clamp(0, 1)


def _identify(
    encoder: str,
    photo: Picture,
    style: Paintings | StyleStatistics,
    start: Tensor | None,
    config: GatysConfig,
    regions: Tensor | None,
) -> Run:
    """Return what decides a run's result, in the form that JSON gives back."""
    if isinstance(style, StyleStatistics):
        styles = [_digest(style.to_vector())]
    else:
        styles = [f"{_digest(painting)} {weight}" for painting, weight in style]
    settings = asdict(config)
    # More time leads further along the same way.
    del settings["time_limit"]
    facts = {
        "encoder": encoder,
        "photo": _digest(photo.pixels),
        "style": styles,
        "regions": None if regions is None else _digest(regions),
        "init": None if start is None else _digest(start),
        **settings.pop("loss"),
        **settings,
    }
    run: Run = json.loads(json.dumps(facts))
    return run


def _digest(tensor: Tensor) -> str:
    data = tensor.detach().float().cpu().contiguous().numpy().tobytes()
    return hashlib.sha256(data).hexdigest()[:16]
