"""`adain learn`: minutes for a painting, so that every photo is painted in its own strokes."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adain.engine.torch_extra import require_torch
from adain.training.config import Learning
from gallery.cli import options
from gallery.cli.exits import ExitCode, describe, exit_code, usage
from gallery.cli.fields import spread
from gallery.cli.streams import complain, emit, progress, shares
from gallery.config import StylizeConfig, database_url
from gallery.errors import StyleNotFound
from gallery.signals import stop_on_interrupt

if TYPE_CHECKING:
    from adain.engine.model import Model
    from adain.styles.adapter import Adapter
    from gallery.database.gallery import Gallery
    from gallery.database.paintings import Painting
    from gallery.database.queries import Group
    from gallery.use_cases.learn import Lesson

DEFAULTS = Learning()

TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")

EXAMPLES = """\b
Examples:
  adain learn mosaic.png
  adain learn mosaic.png --time 5m --preview learning.jpg
  adain learn artist:monet --photos holiday/
  adain learn mosaic.png --resume --steps 300
  adain learn --all --time 2m
"""


@spread(without=("seconds",))
def learn(
    styles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STYLE",
            help="Pictures, or paintings of the gallery whose picture is at hand, or artist:NAME, "
            "style:NAME: all their paintings as one hand.",
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="All paintings of the gallery that were not learnt yet."),
    ] = False,
    time: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="End each after so long, as 90s, 5m or 1h."),
    ] = None,
    config: Learning = DEFAULTS,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Photos like those that will be painted; by default some that ship."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from what was learnt so far.")
    ] = False,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Paint a photo into this file on the way."),
    ] = None,
    model: options.Model = StylizeConfig.model,
    device: options.Device = StylizeConfig.device,
    database: options.Database = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each style, not its name.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn paintings: a few minutes each, then one pass paints in their own strokes.

    What is learnt (an adapter, 60 kB) is kept in the gallery, and is used by itself from then on.
    A picture that is not in the gallery is added. Prints the names of the styles. Ctrl-C keeps
    what was learnt so far; --resume goes on from there.
    """
    require_torch("learning")
    with usage():
        if bool(styles) == every:
            raise ValueError("give the styles to learn, or --all")
        config = replace(config, seconds=read_time(time))
        if time is not None and config.steps == DEFAULTS.steps:
            config = replace(config, steps=100_000)
    from gallery.database.gallery import make_gallery
    from gallery.use_cases.learn import find_lesson, find_photos, unlearnt

    gallery = make_gallery(database_url(database))
    content = find_photos(photos)
    network = options.load_network(model, device)
    targets = (
        unlearnt(gallery, network.base)
        if every
        else [_find(gallery, network, name) for name in styles or ()]
    )
    if every and not targets and not quiet:
        complain("every painting whose picture is at hand was learnt")
    errors: list[Exception] = []
    with stop_on_interrupt() as stopped, progress(len(targets), quiet, "learning") as advance:
        for target in targets:
            if stopped:
                break
            report = shares(advance)
            try:
                lesson = find_lesson(gallery, network, target, content, config, resume)
                adapter = _learn(lesson, report, stopped, preview)
                emit(json.dumps(_facts(target, adapter)) if as_json else _name(target))
                if not quiet:
                    complain(_summary(target, adapter))
            except Exception as error:
                if not every:
                    raise
                errors.append(error)
                complain(describe(error))
            report(1)
    if stopped:
        raise typer.Exit(ExitCode.INTERRUPTED)
    raise typer.Exit(exit_code(errors, len(targets) - len(errors)))


def read_time(text: str | None) -> float | None:
    """Return the seconds that `90s`, `5m` or `1h` stand for. Raises `ValueError`."""
    if text is None:
        return None
    match = TIME.fullmatch(text.strip().lower())
    if not match or not float(match[1]):
        raise ValueError(f"time must be as 90s, 5m or 1h, got {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _learn(
    lesson: "Lesson", report: Callable[[float], None], stopped: Sequence[int], preview: Path | None
) -> "Adapter":
    """Learn, keep it in the gallery, and show it on the way."""
    from adain.imaging.writing import save_image
    from gallery.use_cases.learn import finish_lesson, keep_checkpoint, paint_lesson, run_lesson

    def show(adapter: "Adapter") -> None:
        if preview is not None:
            save_image(paint_lesson(lesson, adapter), preview, overwrite=True)

    def keep(adapter: "Adapter") -> None:
        keep_checkpoint(lesson, adapter)
        show(adapter)

    adapter = run_lesson(lesson, lambda step: report(step.share), keep, lambda: bool(stopped))
    finish_lesson(lesson, adapter)
    show(adapter)
    return adapter


def _find(gallery: "Gallery", model: "Model", name: str) -> "Painting | Group":
    """Return what a style names; a picture file that is not in the gallery is added."""
    from gallery.config import IngestConfig
    from gallery.ingest.pipeline import IngestStep, ingest
    from gallery.ingest.sources import find_candidates
    from gallery.use_cases.references import find_target

    path = Path(name)
    if path.is_dir():
        raise StyleNotFound(
            f"{name}: is a folder; 'adain ingest' it, then learn artist:NAME, style:NAME or --all"
        )
    if not path.exists():
        return find_target(gallery, name)
    steps: list[IngestStep] = []
    ingest(gallery, list(find_candidates(path)), model, IngestConfig(), steps.append)
    if steps[0].error is not None or steps[0].painting is None:
        raise steps[0].error or StyleNotFound(f"{name}: no picture")
    painting = steps[0].painting
    # What is known already may have been added without its picture.
    return painting if painting.path else replace(painting, path=str(path.absolute()))


def _name(target: "Painting | Group") -> str:
    kind = getattr(target, "kind", None)
    return f"{kind}:{target.slug}" if kind else target.slug


def _summary(target: "Painting | Group", adapter: "Adapter") -> str:
    facts = adapter.facts
    return (
        f"{_name(target)}: learnt in {facts['steps']} steps, {facts['seconds']:.0f} s; "
        f"'adain stylize PHOTO --style {_name(target)}' paints with it"
    )


def _facts(target: "Painting | Group", adapter: "Adapter") -> dict[str, object]:
    return {
        "style": _name(target),
        "base": adapter.base,
        "bytes": len(adapter.to_bytes()),
        **adapter.facts,
    }
