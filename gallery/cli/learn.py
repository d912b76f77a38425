"""`adain learn`: minutes for a painting, so that every photo is painted in its own strokes."""

import json
import re
import time
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
from gallery.errors import StyleNotFound, StylesError
from gallery.signals import stop_on_interrupt

if TYPE_CHECKING:
    from adain.engine.model import Model
    from adain.styles.adapter import Adapter
    from gallery.database.gallery import Gallery
    from gallery.database.paintings import Painting
    from gallery.database.queries import Group
    from gallery.use_cases.learn import Lesson

DEFAULTS = Learning()

POLL = 1.0
"""Seconds between two looks at what other processes are learning."""

TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")

EXAMPLES = """\b
Examples:
  adain learn mosaic.png
  adain learn mosaic.png --time 5m --preview learning.jpg
  adain learn artist:monet --photos holiday/
  adain learn mosaics/
  adain learn mosaic.png --resume --steps 300
  adain learn --all --time 2m
"""


@spread(without=("seconds",))
def learn(
    styles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STYLE",
            help="Pictures, or paintings of the gallery whose picture is at hand. As one hand: "
            "artist:NAME, style:NAME, or a folder of pictures.",
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="All paintings of the gallery that were not learnt yet."),
    ] = False,
    length: Annotated[
        str | None,
        typer.Option("--time", metavar="TIME", help="End each after so long, as 90s, 5m or 1h."),
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
    """Learn a painting for minutes, then paint in its own strokes.

    What is learnt (an adapter, 60 kB) is kept in the gallery, and is used by itself from then on.
    A picture that is not in the gallery is added. Prints the names of the styles. Ctrl-C keeps
    what was learnt so far; --resume goes on from there.
    """
    require_torch("learning")
    with usage():
        if bool(styles) == every:
            raise ValueError("give the styles to learn, or --all")
        config = replace(config, seconds=read_time(length))
        if length is not None and config.steps == DEFAULTS.steps:
            config = replace(config, steps=100_000)
    from gallery.database.gallery import make_gallery
    from gallery.use_cases.learn import find_lesson, find_photos, is_learnt, name_of, unlearnt

    gallery = make_gallery(database_url(database))
    content = find_photos(photos)
    network = options.load_network(model, device)
    targets = (
        unlearnt(gallery, network.base)
        if every
        else [_find(gallery, network, name) for name in styles or ()]
    )
    count = len(targets)
    if every and not targets and not quiet:
        complain("every painting whose picture is at hand was learnt")
    with stop_on_interrupt() as stopped, progress(count, quiet, "learning") as advance:

        def learn_one(target: "Painting | Group") -> bool:
            """Learn it and tell, unless another process is at it; return whether it is learnt."""
            report = shares(advance)
            with gallery.claim_learning(target, network.base) as ours:
                # Another process may have learnt it a moment ago.
                if ours and not (every and is_learnt(gallery, target, network.base)):
                    lesson = find_lesson(gallery, network, target, content, config, resume)
                    adapter = _learn(lesson, report, stopped, preview)
                    emit(json.dumps(_facts(target, adapter)) if as_json else name_of(target))
                    if not quiet:
                        complain(_summary(target, adapter))
            if ours:
                report(1)
            return ours

        if every:
            errors = _learn_all(targets, learn_one, stopped)
        else:
            errors = []
            for target in targets:
                _learn_named(target, learn_one, stopped)
    if stopped:
        raise typer.Exit(ExitCode.INTERRUPTED)
    raise typer.Exit(exit_code(errors, count - len(errors)))


def _learn_named(
    target: "Painting | Group",
    learn_one: "Callable[[Painting | Group], bool]",
    stopped: Sequence[int],
) -> None:
    """Learn it, also if a process that was at it died. Raises `StylesError` if it lives."""
    from gallery.database.jobs import LEASE_SECONDS
    from gallery.use_cases.learn import name_of

    deadline = time.monotonic() + LEASE_SECONDS + POLL
    while not stopped and not learn_one(target):
        if time.monotonic() > deadline:
            raise StylesError(f"{name_of(target)}: another process is learning it; wait for it")
        time.sleep(POLL)


def _learn_all(
    targets: "Sequence[Painting | Group]",
    learn_one: "Callable[[Painting | Group], bool]",
    stopped: Sequence[int],
) -> list[Exception]:
    """Learn all that can be; take over what other processes leave. Returns what went wrong."""
    errors: list[Exception] = []
    while targets and not stopped:
        busy = []
        for target in targets:
            try:
                if not stopped and not learn_one(target):
                    busy.append(target)
            except Exception as error:
                errors.append(error)
                complain(describe(error))
        if busy:
            time.sleep(POLL)
        targets = busy
    return errors


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
    """Return what a style names; pictures that are not in the gallery are added.

    Those of a folder are one hand: they belong to the style of its name, whatever else they are.
    """
    from gallery.use_cases.references import find_target

    path = Path(name)
    if not path.exists():
        return find_target(gallery, name)
    if path.is_dir():
        hand = path.resolve().name or "root"
        _add(gallery, model, path, (hand,))
        return gallery.find_group("style", hand)
    painting = _add(gallery, model, path)[0]
    # What is known already may have been added without its picture.
    return painting if painting.path else replace(painting, path=str(path.absolute()))


def _add(
    gallery: "Gallery", model: "Model", source: Path, styles: tuple[str, ...] = ()
) -> "list[Painting]":
    """Add a picture or those of a folder, of these styles besides theirs; say what fails."""
    from gallery.config import IngestConfig
    from gallery.ingest.pipeline import IngestStep, ingest
    from gallery.ingest.sources import find_candidates

    found = [
        replace(each, painting=replace(each.painting, styles=(*each.painting.styles, *styles)))
        if each.painting
        else each
        for each in find_candidates(source)
    ]
    steps: list[IngestStep] = []
    ingest(gallery, found, model, IngestConfig(), steps.append)
    added = [step.painting for step in steps if step.painting is not None]
    errors = [step.error for step in steps if step.error is not None]
    if not added:
        raise errors[0] if errors else StyleNotFound(f"{source}: no picture")
    for error in errors:
        complain(describe(error))
    return added


def _summary(target: "Painting | Group", adapter: "Adapter") -> str:
    from gallery.use_cases.learn import name_of, outcome

    return (
        f"{name_of(target)}: {outcome(adapter)}; "
        f"'adain stylize PHOTO --style {name_of(target)}' paints with it"
    )


def _facts(target: "Painting | Group", adapter: "Adapter") -> dict[str, object]:
    from gallery.use_cases.learn import name_of

    return {
        "style": name_of(target),
        "base": adapter.base,
        "bytes": len(adapter.to_bytes()),
        **adapter.facts,
    }
