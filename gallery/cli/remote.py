"""`adain stylize --server URL`: the same command, with the network of another machine."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from adain.config import REST, settings_of
from gallery.cli.exits import usage
from gallery.cli.photos import paint_each
from gallery.cli.streams import emit
from gallery.config import StylizeConfig
from gallery.errors import OutputError
from gallery.files import make_folder, write_file

if TYPE_CHECKING:
    from gallery.client import Client
    from gallery.use_cases.outputs import Output
    from gallery.use_cases.references import Reference

LOCAL = ("quality", "style_side", "bits", "keep_metadata", "memory", "model", "device")
"""Settings that only the machine of the network decides on."""


def stylize_remotely(
    ctx: typer.Context,
    server: str,
    key: str | None,
    photos: Sequence[str],
    mixtures: Sequence[Sequence[str]],
    output: str | None,
    config: StylizeConfig,
    as_json: bool,
    quiet: bool,
    shown: bool = False,
) -> NoReturn:
    """Repaint photos on a server in each mixture of styles, print the paths, and exit."""
    from gallery.client import Client
    from gallery.use_cases.outputs import plan_each

    with usage():
        mixed = [_references(styles, config) for styles in mixtures]
        planned = plan_each(photos, list(map(_slug, mixed)), output, config.format)
        if as_json and planned[0][0].path is None:
            raise ValueError("--json and the picture both need standard output")
    works: dict[Output, tuple[list[Reference], bytes | None]] = {}
    for references, outputs in zip(mixed, planned, strict=True):
        painting = next((Path(each.name) for each in references if each.is_file), None)
        data = None if painting is None else _read(str(painting))
        works |= dict.fromkeys(outputs, (references, data))
    with Client(server, key) as client:
        paint_each(
            ctx,
            list(works),
            lambda item, report: _stylize(client, *works[item], item, config),
            as_json,
            quiet,
            shown,
        )


def _references(styles: Sequence[str], config: StylizeConfig) -> "list[Reference]":
    from gallery.use_cases.references import parse_references

    for name in LOCAL:
        if getattr(config, name) != getattr(StylizeConfig(), name):
            option = (settings_of(config)[name].option or name).replace("_", "-")
            raise ValueError(f"--{option} does not go with --server, which decides on it")
    references = parse_references(styles, regions=True)
    files = [reference for reference in references if reference.is_file]
    if len(files) > 1:
        raise ValueError("--server takes one picture as a style, besides names of its gallery")
    if files and config.controls.masks and files[0] is not references[-1]:
        raise ValueError("with --mask and --server, give the picture as the last --style")
    if any(file.region not in ("", REST) for file in files):
        raise ValueError("with --server, a picture is for the rest of the photo; leave out its @")
    return references


def _slug(references: "Sequence[Reference]") -> str:
    from gallery.database.paintings import slugify
    from gallery.use_cases.references import file_slug

    names = (file_slug(each) if each.is_file else slugify(each.name) for each in references)
    return "+".join(names)[:120] or "painting"


def _stylize(
    client: "Client",
    references: "Sequence[Reference]",
    painting: bytes | None,
    output: "Output",
    config: StylizeConfig,
) -> dict[str, Any]:
    from adain.imaging.writing import output_format

    start = time.perf_counter()
    if output.path and output.path.exists() and not config.overwrite:
        raise OutputError(f"{output.path}: exists already; add --overwrite to replace it")
    controls = config.controls
    data = client.stylize(
        _read(output.photo),
        [str(each) for each in references if not each.is_file],
        painting=painting,
        painting_weight=sum(each.weight for each in references if each.is_file),
        alpha=config.alpha,
        max_side=config.max_side,
        format=output_format(output.format),
        quality=config.jpeg_quality,
        adapter=config.adapter,
        controls=replace(
            controls,
            masks=tuple(_read(str(mask)) for mask in controls.masks),
            strength=None if controls.strength is None else _read(str(controls.strength)),
        ),
    )
    if output.path is None:
        emit(data)
    else:
        make_folder(output.path.parent)
        write_file(output.path, data, config.overwrite)
    seconds = round(time.perf_counter() - start, 3)
    return {"photo": output.photo, "output": str(output.path), "seconds": seconds}


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise OutputError(f"{name}: cannot be read ({error.strerror}); check the path") from error
