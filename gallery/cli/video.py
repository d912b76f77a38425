"""`adain video`: films in, painted films out."""

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adain.config import Controls, PictureFile
from adain.errors import ImageExistsError
from gallery.cli import options
from gallery.cli.exits import ExitCode, resumable, usage
from gallery.cli.fields import spread
from gallery.cli.streams import complain, emit, progress
from gallery.config import StylizeConfig, database_url

if TYPE_CHECKING:
    from adain.engine.model import Model
    from adain.video.direction import Direction
    from gallery.use_cases.film_writing import Target
    from gallery.use_cases.styles import FoundStyle
    from gallery.use_cases.video import Report

DEFAULTS = StylizeConfig()

MAX_JOBS = 8
"""Frames at the same time unless more are asked for: each takes its memory."""

NO_STYLE = (
    "give --style, the painting whose style the film takes, such as irises or a picture of your "
    "own; or --style-at 0:00=irises and more of them"
)

EXAMPLES = """\b
Examples:
  adain video harbour.mp4 painted.mp4 --style irises --stable
  adain video harbour.mp4 preview.mp4 --style irises --preview 3s
  adain video harbour.mp4 painted.webm --style irises --style-at 0:12=senecio
  adain video harbour.mp4 painted.mp4 --style irises --strength-at 0:00=0 --strength-at 0:05=1
  adain video dance.gif painted.gif --style the-great-wave --keep face
  adain video frames/ painted.mp4 --style irises --rate 24
"""


NOT_OFFERED = ("format", "jpeg_quality", "bits", "keep_metadata", "quality", "alpha", "memory")


@spread(without=NOT_OFFERED)
def video(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="A film, an animation, a folder or pattern of pictures, or - for standard input.",
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="A .mp4, .mov, .mkv, .webm, .gif or .webp; a folder with / for pictures; or - "
            "for Y4M on standard output.",
        ),
    ],
    style: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STYLE",
            help="A picture, or the name of a painting (see 'adain gallery list'), "
            "'artist:NAME' or 'style:NAME'; repeat to mix, with NAME=WEIGHT, or for parts of the "
            "picture, with NAME@person and NAME@background.",
        ),
    ] = None,
    style_at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME=STYLE", help="From then on another style, as 0:12=senecio; repeat."
        ),
    ] = None,
    fade: Annotated[
        float, typer.Option(metavar="S", help="Seconds in which one style becomes the next.")
    ] = 1.0,
    alpha: options.Alpha = f"{DEFAULTS.alpha:g}",
    strength_at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME=A", help="Strength at a time; between two it moves evenly; repeat."
        ),
    ] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Where in the film to start.")
    ] = "0",
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Where in the film to end.")
    ] = None,
    preview: Annotated[
        str | None,
        typer.Option(
            metavar="3s|N", help="Only so many seconds, or one frame in N, without sound."
        ),
    ] = None,
    stable: Annotated[
        bool,
        typer.Option(
            "--stable", help="Also let each frame follow the last one, along the optical flow."
        ),
    ] = False,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Compute with float32, as for photos, not with 8-bit numbers: half as fast.",
        ),
    ] = False,
    mask: options.Masks = None,
    codec: Annotated[
        str | None,
        typer.Option(metavar="CODEC", help="h264 or av1; of .webm vp9 or av1."),
    ] = None,
    look: Controls = DEFAULTS.controls,
    config: StylizeConfig = DEFAULTS,
    rate: Annotated[
        float, typer.Option(metavar="FPS", help="Pictures a second, of a folder of them.")
    ] = 25.0,
    jobs: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Frames at the same time; by default one for each core, at most 8."
        ),
    ] = None,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            help="Share the scenes with other runs of this command; the last one joins them.",
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Share them on a Ray cluster; 'local' is this machine."
        ),
    ] = None,
    memory: options.Memory = None,
    database: options.Database = None,
    as_json: options.JsonObject = False,
    quiet: options.Quiet = False,
) -> None:
    """Repaint a film, calmly, with its sound.

    Prints the path of the result. What is interrupted goes on with the same command.
    """
    with usage():
        config = options.complete_config(config, look, alpha, mask, memory)
        first, *later = _plan_styles(style or (), style_at or ())
        config = options.with_regions(config, first[1])
        strengths = _plan_strengths(config.alpha, strength_at or ())
        part = _part(start, end, preview)
        if jobs is not None and not 1 <= jobs <= 64:
            raise ValueError(f"jobs must be from 1 to 64, got {jobs}")
        if not 0.01 <= rate <= 1000:
            raise ValueError(f"rate must be from 0.01 to 1000 frames a second, got {rate}")
        if later and (config.controls.masks or config.controls.regions):
            where = "--mask" if config.controls.masks else "parts of the picture"
            raise ValueError(f"styles that change need one style at a time; leave {where} out")

    from adain.engine.device import cores
    from gallery.use_cases.film_masks import is_film
    from gallery.use_cases.film_pipes import PipedFilm, pipe_film
    from gallery.use_cases.film_reading import Film
    from gallery.use_cases.film_scenes import FilmOrder, FilmSource, paint_on_ray, paint_scenes
    from gallery.use_cases.film_writing import Target
    from gallery.use_cases.provenance import film_comment
    from gallery.use_cases.video import VideoConfig, expected_frames, paint_film

    with usage():
        target = None if output == "-" else Target.parse(output, codec)
        jobs = jobs or min(cores(), MAX_JOBS)
        film_config = VideoConfig(*part, stable, exact, jobs, config.memory, config.overwrite)
        if target:
            _refuse_output(source, target, config.overwrite)
        elif codec or as_json:
            raise ValueError("standard output takes raw frames alone; leave --codec and --json out")
        if (shared or ray) and (target is None or str(source) == "-" or film_config.every > 1):
            raise ValueError(
                "runs share films in files: leave -, --preview N or --shared, --ray out"
            )
    found = [(at, _find_style(texts, database, config)) for at, texts in (first, *later)]
    controls, moving = config.controls, tuple[PictureFile, ...]()
    if any(map(is_film, controls.masks)):
        controls, moving = replace(controls, masks=()), controls.masks
    given = FilmSource(
        source, Fraction(rate).limit_denominator(1001), config.max_side, moving, len(first[1]),
        controls.feather,
    )  # fmt: skip
    film: Film
    if str(source) == "-":
        film = given.masked(PipedFilm(sys.stdin.buffer, config.max_side))
    else:
        film = given.open()
    network = options.load_network(config.model, config.device, 1 if jobs > 1 else None)
    with usage():
        direction = _direction(network, found, strengths, fade)
    recipe = {
        "controls": asdict(replace(config.controls, strength=None, masks=())),
        "pictures": [_stamp(each) for each in (*config.controls.masks, config.controls.strength)],
        "sides": [config.max_side, config.style_side],
        "rate": rate,
        "title": film_comment(
            [style.slug for _, style in found], [alpha for _, alpha in strengths], config
        ),
    }
    seconds = (each for each in (film.facts.seconds, film_config.end) if each is not None)
    ends = min(seconds, default=math.inf)
    for at in [at for at, _ in later if at >= ends and not quiet]:
        complain(f"--style-at: the film ends at {ends:.1f} seconds, before the style of {at:g}")
    frames = expected_frames(film, film_config)
    with resumable(), progress(frames, hidden=quiet, label="painting") as advance:
        if target is None:
            report = pipe_film(
                network, film, sys.stdout.buffer, direction, controls, film_config, advance
            )
        elif shared or ray:
            order = FilmOrder(given, target, direction, controls, film_config, recipe)
            names = (config.model, config.device)
            report = (
                paint_on_ray(ray, network, names, order, advance)
                if ray
                else paint_scenes(network, order, advance)
            )
        else:
            report = paint_film(
                network, film, target, direction, controls, film_config, recipe, advance
            )
    if not quiet:
        _tell(report)
    if as_json:
        facts = {key: value for key, value in asdict(report).items() if key != "notes"}
        emit(json.dumps({"source": str(source), "output": output} | facts))
    elif target is not None:
        emit(output)
    if report.incomplete:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _tell(report: "Report") -> None:
    for note in report.notes:
        complain(note)
    painted = report.frames - report.resumed
    before = f", {report.resumed} frames by an earlier run" if report.resumed else ""
    if report.seconds and report.width:
        complain(
            f"{report.frames} frames of {report.width}x{report.height}, "
            f"{painted / report.seconds:.1f} a second{before}"
        )


def parse_time(text: str) -> float:
    """Read a time in a film: `12.5`, `0:12.5` or `1:02:03`, in seconds.

    Raises:
        ValueError: If it is none.
    """
    parts = text.strip().split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or not all(0 <= number < 1e6 for number in numbers):
        raise ValueError(f"a time is seconds, or as 1:23 or 1:02:03.5, got {text!r}")
    return math.fsum(number * 60.0**power for power, number in enumerate(reversed(numbers)))


def _at(text: str, name: str) -> tuple[float, str]:
    at, equals, rest = text.partition("=")
    if not equals or not rest:
        raise ValueError(f"{name} is TIME=VALUE, such as 0:12=senecio, got {text!r}")
    return parse_time(at), rest


def _plan_styles(texts: Sequence[str], later: Sequence[str]) -> list[tuple[float, Sequence[str]]]:
    """Return when which styles begin; the first at the beginning."""
    timed: list[tuple[float, Sequence[str]]] = [
        (at, [rest]) for at, rest in sorted(_at(text, "style-at") for text in later)
    ]
    if texts:
        timed = [(0.0, texts), *timed]
    if not timed or (not texts and timed[0][0] > 0):
        raise ValueError(NO_STYLE)
    if len({at for at, _ in timed}) < len(timed):
        raise ValueError("two styles begin at the same time; give each its own, or mix them")
    return timed


def _plan_strengths(alpha: float, texts: Sequence[str]) -> tuple[tuple[float, float], ...]:
    if not texts:
        return ((0.0, alpha),)
    timed = []
    for at, rest in sorted(_at(text, "strength-at") for text in texts):
        try:
            timed.append((at, float(rest)))
        except ValueError as error:
            raise ValueError(f"strength-at is TIME=NUMBER, got {rest!r}") from error
    return tuple(timed)


def _part(start: str, end: str | None, preview: str | None) -> tuple[float, float | None, int]:
    """Return where to start and to end, and which of the frames are painted."""
    begin, stop = parse_time(start), None if end is None else parse_time(end)
    if preview is None:
        return begin, stop, 1
    wrong = f"preview is seconds as 3s, or one frame in N as 10, got {preview!r}"
    if preview.endswith("s"):
        seconds = parse_time(preview[:-1])
        if not seconds > 0:
            raise ValueError(wrong)
        last = begin + seconds
        return begin, last if stop is None else min(last, stop), 1
    if not preview.isdecimal() or int(preview) < 1:
        raise ValueError(wrong)
    return begin, stop, int(preview)


def _refuse_output(source: Path, target: "Target", overwrite: bool) -> None:
    place = target.path
    if target.pattern is not None:
        taken = target.picture(0)
        if taken.exists() and not target.parts.exists() and not overwrite:
            raise ImageExistsError(f"{taken}: exists already; add --overwrite to replace it")
        if os.path.realpath(place) == os.path.realpath(source):
            raise ValueError(f"{place}: holds the source; choose another folder for the results")
        return
    if os.path.lexists(place) and os.path.realpath(place) == os.path.realpath(source):
        raise ValueError(f"{place}: is the source; choose another name for the result")
    options.refuse_existing(place, overwrite)


def _find_style(texts: Sequence[str], database: str | None, config: StylizeConfig) -> "FoundStyle":
    from gallery.database.gallery import open_gallery
    from gallery.database.plain import measured
    from gallery.use_cases.references import parse_references
    from gallery.use_cases.styles import find_style

    masks, url = len(config.controls.masks), database_url(database)
    with usage():
        references = parse_references(texts, regions=bool(config.controls.regions))
        if masks not in (0, 1, len(references)) or (
            masks and any(each.weight != 1 for each in references)
        ):
            raise ValueError(
                f"{masks} --mask for {len(references)} --style: give one mask for each style, or "
                "one with a colour for each; the styles then have no weights"
            )
    return find_style(
        references,
        partial(open_gallery, url),
        side=config.style_side,
        separate=masks > 0,
        look_up=partial(measured, url),
    )


def _direction(
    network: "Model",
    found: "Sequence[tuple[float, FoundStyle]]",
    strengths: tuple[tuple[float, float], ...],
    fade: float,
) -> "Direction":
    from adain.video.direction import Direction

    styles = tuple((at, style.resolve(network).statistics) for at, style in found)
    return Direction(styles, strengths, fade)


def _stamp(picture: object) -> object:
    """Return what tells that a picture is still the same."""
    if not isinstance(picture, Path):
        return None
    status = os.stat(picture)
    return [str(picture), status.st_size, status.st_mtime_ns]
