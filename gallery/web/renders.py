"""Renders as jobs: watched while they grow, and taken up again after a restart. Needs torch."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from adain.imaging.picture import Picture
from adain.imaging.pillow import to_image
from adain.imaging.reading import load_image
from adain.imaging.resizing import resize_image
from adain.imaging.writing import encode_image
from adain.network.loading import load_network
from adain.optimizing.checkpoint import Checkpoint
from adain.optimizing.config import GatysConfig, LossConfig
from adain.optimizing.gatys import Rendering, Step
from adain.optimizing.targets import Paintings
from adain.styles.statistics import StyleStatistics
from gallery.errors import CheckpointError
from gallery.use_cases.checkpoints import load_checkpoint, save_checkpoint
from gallery.use_cases.render import (
    STORED_LOSS,
    RenderJob,
    finish_render,
    one_pass,
    place_styles,
    render_job,
    total_steps,
)
from gallery.use_cases.styles import FoundStyle, ResolvedStyle, join_styles
from gallery.web.parameters import JobParameters
from gallery.web.state import AppState, Painted
from gallery.web.uploads import Upload
from gallery.web.watched import Interrupted, Watched

MAX_SIDE = 1024
"""Longest side of a render in pixels."""

PREVIEW_SIDE = 512
"""Longest side of its previews."""

PREVIEW_SECONDS = 2.0
"""How often there is one."""

CHECKPOINT_SECONDS = 20.0
"""How much of a render is lost at most when its process dies."""

RUN = {"job": "render"}
"""The run that checkpoints belong to: that of the job that they are kept with."""


def render_photo(
    state: AppState,
    parameters: JobParameters,
    upload: Upload,
    found: FoundStyle,
    named: Sequence[ResolvedStyle],
    checkpoint: bytes | None,
    watched: Watched,
) -> Painted:
    """Render an uploaded photo; on the network's thread, making way for others between its steps.

    Args:
        state: The network.
        parameters: What to make of it.
        upload: The photo, and a painting if one was sent along.
        found: The named styles; without pictures of all of them, statistics have to do.
        named: Each of them.
        checkpoint: Of an earlier attempt.
        watched: Told what happens.

    Raises:
        Interrupted: If `watched` stopped it.
        ImageError: If a picture cannot be read, or is too large.
        MaskError: If a mask does not fit, or a style has no place.
        OptimizationError: If not even the start has a finite loss.
    """
    began = time.perf_counter()
    job = _prepare(state, parameters, upload, found, named)
    resume = None if checkpoint is None else _unpack(checkpoint, state)
    rendering = _render(state, job, resume, watched)
    if rendering.ended == "stopped":
        raise Interrupted(_pack(rendering.checkpoint))
    image = to_image(finish_render(job, rendering.image), job.photo.transparency)
    data = encode_image(image, parameters.format, parameters.quality)
    return Painted(data, f"image/{parameters.format}", time.perf_counter() - began)


def _prepare(
    state: AppState,
    parameters: JobParameters,
    upload: Upload,
    found: FoundStyle,
    named: Sequence[ResolvedStyle],
) -> RenderJob:
    model = state.model
    side = min(parameters.max_side or MAX_SIDE, MAX_SIDE, state.config.max_side)
    original = state.load(upload.photo, "photo")
    photo = resize_image(original, side)
    weights, styles = parameters.weights(upload), state.each(upload, named)
    mixture = join_styles(styles, None if upload.masks else weights).statistics
    style: Paintings | StyleStatistics = mixture
    if found.pictures is not None:
        paintings = [load_image(path, name="painting") for path, _ in found.pictures]
        if upload.painting is not None:
            paintings.append(state.load(upload.painting, "painting"))
        style = [
            (painting.pixels, weight) for painting, weight in zip(paintings, weights, strict=True)
        ]
    loss = STORED_LOSS if style is mixture else LossConfig()
    if parameters.content_weight is not None:
        loss = replace(loss, content_weight=parameters.content_weight)
    loss = replace(loss, style_weight=parameters.style_weight)
    config = GatysConfig(loss, time_limit=parameters.time_limit)
    regions = None
    if upload.masks:
        masks = [state.load(mask, f"mask {i + 1}") for i, mask in enumerate(upload.masks)]
        feather = parameters.controls().feather * photo.width / original.width
        regions = place_styles(masks, len(styles), photo, feather)
    start = one_pass(model, photo.pixels, mixture, regions)
    controls = parameters.controls()
    encoder = load_network(model).encoder
    return RenderJob(photo, style, start, config, RUN, encoder, controls, regions)


def _render(
    state: AppState, job: RenderJob, resume: Checkpoint | None, watched: Watched
) -> Rendering:
    steps = total_steps(job)
    previewed = saved = time.monotonic() - PREVIEW_SECONDS

    def watch(step: Step) -> None:
        nonlocal previewed, saved
        watched.tell(step.done / steps, step.scale, dict(step.losses))
        now = time.monotonic()
        if now >= previewed + PREVIEW_SECONDS:
            previewed = now
            small = resize_image(Picture(finish_render(job, step.preview())), PREVIEW_SIDE)
            watched.keep("preview", encode_image(to_image(small), "jpeg", 85))
        if now >= saved + CHECKPOINT_SECONDS:
            saved = now
            watched.keep("checkpoint", _pack(step.checkpoint))
        state.worker.make_way()

    return render_job(job, resume, watch, lambda: watched.is_stopped)


def _pack(checkpoint: Checkpoint) -> bytes:
    with TemporaryDirectory(prefix="adain-") as folder:
        path = Path(folder) / "checkpoint"
        save_checkpoint(checkpoint, RUN, path)
        return path.read_bytes()


def _unpack(data: bytes, state: AppState) -> Checkpoint | None:
    with TemporaryDirectory(prefix="adain-") as folder:
        path = Path(folder) / "checkpoint"
        path.write_bytes(data)
        try:
            return load_checkpoint(path, RUN, state.model.device)
        except CheckpointError:  # Of another version: begin again.
            return None
