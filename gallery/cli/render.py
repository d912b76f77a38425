"""`adain render`: the picture that matters, optimised."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adain.config import Controls, Setting
from adain.engine.torch_extra import require_torch
from adain.optimizing.config import GatysConfig, LossConfig
from gallery.cli import options
from gallery.cli.exits import ExitCode, usage
from gallery.cli.fields import help_of, spread
from gallery.cli.options import Database
from gallery.cli.streams import complain, emit
from gallery.config import RenderConfig, StylizeConfig, database_url
from gallery.errors import OutputError
from gallery.signals import stop_on_interrupt

if TYPE_CHECKING:
    from adain.optimizing.gatys import Rendering, Step
    from gallery.use_cases.render import RenderJob
    from gallery.use_cases.styles import FoundStyle

DEFAULTS = RenderConfig()
LOOK = Controls()
OPTIMISATION = GatysConfig()

EXAMPLES = """\b
Examples:
  adain render harbour.jpg --style mosaic.png
  adain render harbour.jpg --style mosaic.png=2 --style carpet.jpg --time-limit 60 -o out.png
  adain render harbour.jpg --style mosaic.png --save-every 20 --plot losses.png
  adain render harbour.jpg --style mosaic.png --resume
"""


@spread(without=("stroke", "keep", "only"))
def render(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="A picture.")],
    style: options.Styles,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file or a folder; by default PHOTO.STYLE.render.SUFFIX beside the photo.",
        ),
    ] = None,
    config: RenderConfig = DEFAULTS,
    content_weight: Annotated[
        float | None,
        typer.Option(help=help_of(LossConfig, "content_weight"), show_default=False),
    ] = None,
    style_loss: Annotated[
        str | None, typer.Option(metavar="LOSS", help=help_of(LossConfig, "style_loss"))
    ] = None,
    layer_weights: Annotated[
        str, typer.Option(metavar="W,W,W,W,W", help="Shares of relu1_1 ... relu5_1 in the style.")
    ] = "1,1,1,1,1",
    loss: LossConfig = OPTIMISATION.loss,
    gatys: GatysConfig = OPTIMISATION,
    mask: options.Masks = None,
    look: Controls = LOOK,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The network that losses are measured with, such as vgg19, once it is here "
            "('adain weights'); by default that of the model.",
        ),
    ] = None,
    memory: options.Memory = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the losses; needs matplotlib.")
    ] = None,
    animate: Annotated[
        Path | None, typer.Option(metavar="FILE.webp", help="Make an animation of the steps.")
    ] = None,
    format: options.Format = StylizeConfig.format,
    model: options.Model = StylizeConfig.model,
    device: options.Device = StylizeConfig.device,
    database: Database = None,
    as_json: options.JsonObject = False,
    quiet: options.Quiet = False,
) -> None:
    """Repaint one photo by optimising it: slower, and better.

    Prints the path of the result. Ctrl-C saves what there is; --resume goes on from there.
    """
    require_torch("rendering")
    with usage():
        controls = replace(look, masks=tuple(mask or ()))
        shares = _numbers(layer_weights)
        limit = options.read_memory(memory)
    found = _find_style(style, database, controls)
    slug, files = found.slug, found.pictures
    target = _plan(photo, f"{slug}.render", output, format)
    _refuse_suffixes(plot, animate)
    _refuse_existing([None if config.resume else target, plot, animate], config.overwrite)
    if plot:
        _refuse_to_draw()
    if files is None and not quiet:
        complain(f"{slug}: no picture of it is at hand; its stored statistics have to do")

    from adain.network.pretrained import NETWORKS
    from gallery.use_cases.checkpoints import checkpoint_path, load_checkpoint
    from gallery.use_cases.render import STORED_LOSS, Recorder, prepare_render, render_job

    with usage():
        if network:
            Setting("", choices=tuple(NETWORKS)).check("network", network)
            if files is None:
                raise ValueError(f"network {network} needs a picture of {slug}; give one")
        default = LossConfig() if files else STORED_LOSS
        chosen_loss = style_loss or default.style_loss
        if files is None and chosen_loss != "statistics":
            raise ValueError(f"style-loss {chosen_loss} needs a picture of {slug}; give one")
        if content_weight is None:
            content_weight = default.content_weight
        loss = replace(
            loss, content_weight=content_weight, style_loss=chosen_loss, layer_weights=shares
        )
        gatys = replace(gatys, loss=loss)
    painter = options.load_network(model, device)
    job = prepare_render(
        painter, Path(photo), found, gatys, config.init, config.max_side, network, controls,
        limit,
    )  # fmt: skip
    checkpoint = None
    if config.resume:
        checkpoint = load_checkpoint(checkpoint_path(target), job.run, painter.device)
    recorder = Recorder(job, target, config, plot, animate)
    with stop_on_interrupt() as stopped, _progress(job, hidden=quiet) as show:

        def watch(step: "Step") -> None:
            recorder.watch(step)
            show(step)

        rendering = render_job(job, checkpoint, watch, lambda: bool(stopped))
        recorder.finish(rendering)
    _tell(rendering, quiet)
    facts = {"photo": photo, "output": str(target), "style": slug, **_facts(rendering)}
    emit(json.dumps(facts) if as_json else str(target))
    if rendering.ended == "stopped":
        raise typer.Exit(ExitCode.INTERRUPTED)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"layer-weights must be numbers with commas, got {text!r}") from error


def _find_style(texts: Sequence[str], database: str | None, controls: Controls) -> "FoundStyle":
    from gallery.database.gallery import open_gallery
    from gallery.use_cases.references import parse_references
    from gallery.use_cases.styles import find_style

    with usage():
        references = parse_references(texts)
        if any(reference.weight <= 0 for reference in references):
            raise ValueError("weights of styles must be positive here")
        if controls.masks and any(reference.weight != 1 for reference in references):
            raise ValueError("masks say where styles go; leave their weights away")
    separate = bool(controls.masks)
    return find_style(references, lambda: open_gallery(database_url(database)), separate=separate)


def _plan(photo: str, slug: str, output: str | None, format: str | None) -> Path:
    """Return the file to write."""
    from gallery.use_cases.outputs import plan_outputs

    with usage():
        (planned,) = plan_outputs([photo], slug, output, format)
        if photo == "-" or planned.path is None:
            raise OutputError("a render needs files: its checkpoint lies beside the result")
    return planned.path


def _refuse_suffixes(plot: Path | None, animate: Path | None) -> None:
    """Refuse names that no picture could be written to at the end of a long run."""
    from adain.imaging.writing import WRITABLE

    with usage():
        if plot and plot.suffix.lower() not in WRITABLE:
            raise OutputError(f"{plot}: no format has this suffix; use .png or .jpg")
        if animate and animate.suffix.lower() != ".webp":
            raise OutputError(f"{animate}: animations are WebP; use .webp")


def _refuse_existing(files: Sequence[Path | None], overwrite: bool) -> None:
    """Refuse what would fail at the end of a long run."""
    for file in filter(None, files):
        options.refuse_existing(file, overwrite)


def _refuse_to_draw() -> None:
    """Refuse a plot that could not be drawn at the end of a long run."""
    from importlib.util import find_spec

    try:
        found = find_spec("matplotlib")
    except ValueError:  # Of a module that was made impossible to import.
        found = None
    if found is None:
        raise OutputError("a plot needs matplotlib; install adain with its extra 'plot'")


@contextmanager
def _progress(job: "RenderJob", hidden: bool) -> "Iterator[Callable[[Step], None]]":
    """Show size and losses on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from gallery.use_cases.render import total_steps

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    disable = hidden or not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=disable) as bar:
        task = bar.add_task("rendering", total=total_steps(job))

        def show(step: "Step") -> None:
            height, width = step.size
            figures = ", ".join(f"{name} {step.losses[name]:.3f}" for name in ("content", "style"))
            description = f"{width}x{height} {figures}"
            bar.update(task, completed=step.done, description=description)
            if step.note and not hidden:
                complain(step.note)

        yield show


def _tell(rendering: "Rendering", quiet: bool) -> None:
    """Say what a person should know about the end of a run."""
    if rendering.ended == "stopped":
        complain("interrupted; the picture so far is saved, --resume goes on")
    elif rendering.ended == "diverged":
        complain("the loss stayed infinite; the last good picture is saved")
    elif not quiet:
        losses = " ".join(f"{name}={value:.4f}" for name, value in rendering.losses.items())
        complain(
            f"{rendering.ended}: steps={rendering.iterations} seconds={rendering.seconds:.1f} "
            f"{losses}"
        )


def _facts(rendering: "Rendering") -> dict[str, Any]:
    height, width = rendering.image.shape[:2]
    return {
        "width": width,
        "height": height,
        "seconds": round(rendering.seconds, 3),
        "ended": rendering.ended,
        "steps": rendering.iterations,
        "losses": {name: round(value, 6) for name, value in rendering.losses.items()},
    }
