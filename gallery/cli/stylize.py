"""`adain stylize`: photos in, paintings out."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adain.config import Controls
from adain.engine.torch_extra import require_torch
from adain.errors import ImageExistsError
from gallery.cli import options
from gallery.cli.exits import usage
from gallery.cli.fields import spread
from gallery.cli.hints import refuse_folders
from gallery.cli.photos import paint_each
from gallery.cli.streams import complain, emit
from gallery.config import StylizeConfig, database_url
from gallery.errors import StylesError

if TYPE_CHECKING:
    from adain.engine.model import Model
    from adain.imaging.metadata import Notes
    from adain.imaging.picture import Picture
    from adain.optimizing.targets import Paintings
    from gallery.database.gallery import Gallery
    from gallery.use_cases.outputs import Output
    from gallery.use_cases.references import Reference
    from gallery.use_cases.styles import FoundStyle, ResolvedStyle

DEFAULTS = StylizeConfig()

MEMORY_SHARE = 0.95
"""Share of the limit of memory that is planned with: code is loaded and blocks leave gaps."""

EXAMPLES = """\b
Examples:
  adain stylize harbour.jpg --style irises
  adain stylize *.jpg --style mosaic.png --strength 0.7 -o painted/
  adain stylize harbour.jpg --style artist:monet=0.7 --style senecio=0.3
  adain stylize harbour.jpg --style irises --preserve-color luminance
  adain stylize me.jpg --style irises --keep face
  adain stylize me.jpg --style irises@person --style senecio@background
  adain stylize harbour.jpg --style irises --style senecio --mask regions.png
  adain stylize harbour.jpg --style mosaic.png --quality auto
  adain stylize - --style senecio < photo.jpg > painted.png
"""


@spread()
def stylize(
    ctx: typer.Context,
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO", help="Pictures; '-' is standard input.")
    ],
    style: Annotated[
        list[str],
        typer.Option(
            metavar="STYLE",
            help="A picture, '-', or the name of a painting (see 'adain gallery list'), "
            "'artist:NAME' or 'style:NAME'; repeat to mix, with NAME=WEIGHT, or for parts of the "
            "photo, with NAME@person and NAME@background. 'random': any painting. Several "
            "pictures behind one --style, a folder or a pattern: a result in each.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file, a folder, or '-' for standard output; "
            "by default PHOTO.STYLE.SUFFIX beside the photo.",
        ),
    ] = None,
    alpha: options.Alpha = f"{DEFAULTS.alpha:g}",
    mask: options.Masks = None,
    look: Controls = DEFAULTS.controls,
    config: StylizeConfig = DEFAULTS,
    memory: options.Memory = None,
    seed: options.Seed = None,
    each: Annotated[
        bool, typer.Option("--each", help="A result in each --style, not one in their mixture.")
    ] = False,
    database: options.Database = None,
    server: options.Server = None,
    key_file: options.KeyFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each photo, not the path.")
    ] = False,
    shown: Annotated[
        bool, typer.Option("--open", help="Show the results when they are done.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Repaint photos in the style of a painting.

    Prints the paths of the results.
    """
    with usage():
        config = options.complete_config(config, look, alpha, mask, memory)
        config = options.with_regions(config, style)
        options.refuse_seed(seed, style == [options.RANDOM])
    refuse_folders(photos)
    if [*style, *photos].count("-") > 1:
        raise typer.BadParameter("'-' can be one photo or one style, not both")
    mixtures = _mixtures(style, each)
    if server is not None:
        if style == [options.RANDOM]:
            raise typer.BadParameter("'--style random' works without --server only")
        from gallery.cli.remote import stylize_remotely

        key = options.read_key(key_file)
        stylize_remotely(ctx, server, key, photos, mixtures, output, config, as_json, quiet, shown)
    if style == [options.RANDOM]:
        mixtures = [[_draw_style(database, seed)]]
    if config.quality != "fast":
        require_torch(f"--quality {config.quality}")
    found = [_find_style(mixture, database, config) for mixture in mixtures]
    planned = _plan(photos, [style.slug for style in found], output, config, as_json)
    network = options.load_network(config.model, config.device)
    works: dict[Output, _Work] = {}
    for named, outputs in zip(found, planned, strict=True):
        paintings = None if config.quality == "fast" else _load_paintings(named.pictures)
        resolved = named.resolve(network)
        if resolved.note and not quiet:
            complain(resolved.note)
        work = _Work(network, resolved, paintings, config, quiet)
        works |= dict.fromkeys(outputs, work)
    paint_each(
        ctx,
        list(works),
        lambda output, report: _stylize_one(works[output], output, report),
        as_json,
        quiet,
        shown,
    )


def _mixtures(styles: Sequence[str], each: bool) -> list[list[str]]:
    """Return the styles of each result: one mixture of all, or each by itself.

    The latter where it is asked for, or where a folder or a pattern stands for several pictures,
    of which nobody wants the mixture.
    """
    from gallery.use_cases.references import parse_reference
    from gallery.use_cases.style_lists import expand_styles

    every = expand_styles(styles)
    if not each and len(every) <= len(styles):
        return [list(styles) if {*every} <= {*styles} else every]  # Else a folder of one picture.
    with usage():
        if options.RANDOM in every:
            raise ValueError("--style random is one painting; it goes with no other style")
        if any(parse_reference(style).weight != 1 for style in every):
            raise ValueError("weights mix styles; leave them out for a result in each")
        if any(parse_reference(style).region for style in every):
            raise ValueError(
                "styles for parts of a photo are one result; give one picture for each"
            )
    return [[style] for style in every]


def _draw_style(database: str | None, seed: int | None) -> str:
    """Return the slug of any painting of the gallery, the same for the same seed."""
    from random import Random

    gallery = _open_gallery(database)
    _, numbers = gallery.hashes()
    if not len(numbers):
        raise StylesError("the gallery has no paintings to choose from; run: adain gallery import")
    return gallery.pictures([Random(seed).choice(sorted(numbers.tolist()))])[0].slug


def _find_style(texts: Sequence[str], database: str | None, config: StylizeConfig) -> "FoundStyle":
    from gallery.database.plain import learnt_from, measured
    from gallery.use_cases.references import parse_references
    from gallery.use_cases.styles import find_style

    masks, fast = len(config.controls.masks), config.quality == "fast"
    with usage():
        references = parse_references(texts, regions=True)
        if masks not in (0, 1, len(references)) or (masks and _weighed(references)):
            raise ValueError(
                f"{masks} --mask for {len(references)} --style: give one mask for each style, or "
                "one with a colour for each; the styles then have no weights"
            )
        if not fast:
            _refuse_to_render(references)
    return find_style(
        references,
        partial(_open_gallery, database),
        sys.stdin.buffer,
        config.style_side,
        separate=masks > 0,
        # A render takes the pictures, too, which only the gallery knows.
        look_up=partial(measured, database_url(database)) if fast else None,
        learnt=config.adapter,
        look_up_picture=partial(learnt_from, database_url(database)),
    )


def _refuse_to_render(references: "Sequence[Reference]") -> None:
    from gallery.use_cases.references import STANDARD

    if any(reference.name == STANDARD for reference in references):
        raise ValueError("a style of standard input works with --quality fast only")
    if any(reference.weight <= 0 for reference in references):
        raise ValueError("weights of styles must be positive, except with --quality fast")


def _open_gallery(database: str | None) -> "Gallery":
    from gallery.database.gallery import open_gallery

    return open_gallery(database_url(database))


def _load_paintings(files: Sequence[tuple[Path, float]] | None) -> "Paintings | None":
    from adain.imaging.reading import load_image

    if files is None:
        return None
    return [(load_image(file).pixels, weight) for file, weight in files]


def _weighed(references: "Sequence[Reference]") -> bool:
    return any(reference.weight != 1 for reference in references)


def _plan(
    photos: Sequence[str],
    slugs: Sequence[str],
    output: str | None,
    config: StylizeConfig,
    as_json: bool,
) -> "list[list[Output]]":
    from gallery.use_cases.outputs import plan_each

    with usage():
        outputs = plan_each(photos, slugs, output, config.format, config.bits)
    if outputs[0][0].path is None:
        if as_json:
            raise typer.BadParameter("--json and the picture both need standard output")
        if sys.stdout.isatty():
            raise typer.BadParameter("a terminal shows no pictures; give a file with --output")
    return outputs


def _room(config: StylizeConfig, photo: "Picture") -> int | None:
    """Return the bytes of the limit that the process itself does not use yet."""
    from adain.engine.device import release_memory, resident_memory

    if photo.is_large:  # For small ones it is faster to keep it.
        release_memory()
    if config.memory is None:
        return None
    return int(MEMORY_SHARE * config.memory) - resident_memory()


@dataclass(frozen=True)
class _Work:
    """All that is the same for every photo."""

    network: "Model"
    style: "ResolvedStyle"
    paintings: "Paintings | None"
    config: StylizeConfig
    quiet: bool


def _stylize_one(work: _Work, output: "Output", report: Callable[[float], None]) -> dict[str, Any]:
    """Stylize a photo, write the result and return the facts about it."""
    from adain.imaging.reading import load_image
    from adain.painting.stylize import stylize_picture
    from gallery.use_cases.provenance import result_notes

    config = work.config
    # Found before the work is done; save_image makes sure once more when it is.
    if output.path and not config.overwrite and os.path.lexists(output.path):
        raise ImageExistsError(f"{output.path}: exists already; add --overwrite to replace it")
    start = time.perf_counter()
    if output.photo == "-":
        photo = load_image(sys.stdin.buffer, name="standard input")
    else:
        photo = load_image(Path(output.photo))
    notes = result_notes(photo, work.style, config)
    quality: dict[str, Any] = {}
    missing: list[str] = []
    if config.quality == "fast":
        result = stylize_picture(
            work.network,
            photo,
            work.style.statistics,
            alpha=config.alpha,
            max_side=config.max_side,
            controls=config.controls,
            memory=_room(config, photo),
            progress=report,
            notice=missing.append,
        )
    else:
        result, quality = _refine_one(work, photo, report, missing.append)
    del photo  # A print beside its photo and the file would be too much.
    _write(result, output, config, notes)
    for missed in missing if not work.quiet else ():
        complain(f"{output.photo}: {missed}")
    return {
        "photo": output.photo,
        "output": str(output.path),
        "style": work.style.slug,
        "width": result.width,
        "height": result.height,
        "seconds": round(time.perf_counter() - start, 3),
        **quality,
        **({"note": "; ".join(missing)} if missing else {}),
    }


def _refine_one(
    work: _Work,
    photo: "Picture",
    report: Callable[[float], None],
    notice: Callable[[str], None],
) -> "tuple[Picture, dict[str, Any]]":
    """Return the result and the facts of how it was made, which are told on standard error."""
    from gallery.use_cases.refine import stylize_refined

    refined = stylize_refined(
        work.network,
        photo,
        work.style.statistics,
        work.paintings,
        judged=work.config.quality == "auto",
        max_side=work.config.max_side,
        controls=work.config.controls,
        progress=report,
        notice=notice,
    )
    if not work.quiet:
        complain(f"{photo.name}: {refined.way}, {refined.reason}")
    facts: dict[str, Any] = {"quality": refined.way, "reason": refined.reason}
    if refined.measure:
        measured = asdict(refined.measure).items()
        facts["measure"] = {name: round(value, 6) for name, value in measured}
    return refined.picture, facts


def _write(result: "Picture", output: "Output", config: StylizeConfig, notes: "Notes") -> None:
    from adain.engine.device import release_memory
    from adain.imaging.writing import encode_image, save_image
    from gallery.files import make_folder

    if result.is_large:
        release_memory()
    if output.path is None:
        data = encode_image(result, output.format, config.jpeg_quality, config.bits, notes)
        emit(data)
        return
    make_folder(output.path.parent)
    save_image(
        result,
        output.path,
        format=output.format,
        jpeg_quality=config.jpeg_quality,
        overwrite=config.overwrite,
        bits=config.bits,
        notes=notes,
    )
