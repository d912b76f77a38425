"""Options that several commands share."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adain.config import Controls
from adain.errors import ImageExistsError
from gallery.cli.exits import usage
from gallery.cli.fields import NAMES, help_of
from gallery.config import RenderConfig, StylizeConfig, parse_memory
from gallery.errors import OutputError

if TYPE_CHECKING:
    from adain.engine.model import Model as Network

RANDOM = "random"
"""As a style: paintings of the gallery by chance."""

Database = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="The gallery; by default that of ADAIN_DATABASE, else one in your data folder.",
    ),
]
Styles = Annotated[
    list[str],
    typer.Option(
        "--style",
        metavar="STYLE",
        help="A picture, or the name of a painting (see 'adain gallery list'), "
        "'artist:NAME' or 'style:NAME'; repeat to mix, with NAME=WEIGHT.",
    ),
]
MaxSide = Annotated[int, typer.Option(metavar="PX", help=help_of(RenderConfig, "max_side"))]
Overwrite = Annotated[bool, typer.Option("--overwrite", help=help_of(StylizeConfig, "overwrite"))]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help=help_of(StylizeConfig, "memory"))]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress bar, no notes and no summary.")
]
JsonObject = Annotated[bool, typer.Option("--json", help="Print a JSON object, not the path.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Fetch = Annotated[bool, typer.Option("--fetch", help="Get from the web what is there.")]
Contact = Annotated[
    str,
    typer.Option(
        metavar="MAIL|URL",
        envvar="ADAIN_CONTACT",
        help="With --fetch: tells the hosts whom to write to when something is wrong.",
    ),
]

Model = Annotated[str, typer.Option(metavar="NAME|PATH", help=help_of(StylizeConfig, "model"))]
Device = Annotated[str, typer.Option(metavar="D", help=help_of(StylizeConfig, "device"))]

Format = Annotated[str | None, typer.Option(metavar="F", help=help_of(StylizeConfig, "format"))]

Alpha = Annotated[
    str,
    typer.Option(
        *NAMES["alpha"],
        metavar="A|PICTURE",
        help=f"{help_of(StylizeConfig, 'alpha')[:-1]}; or a grey picture, for white the style.",
    ),
]
Masks = Annotated[
    list[Path] | None,
    typer.Option(
        "--mask",
        metavar="PICTURE",
        help="Where the styles go: one grey picture for each --style, or one picture with a "
        "colour for each, from dark to bright.",
    ),
]

Seed = Annotated[
    int | None, typer.Option(metavar="S", help="With styles at random: what chance begins with.")
]

Server = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Let the 'adain serve' at this address do it.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="With --server: a file with its key; else that of ADAIN_KEY."
    ),
]


def read_key(file: Path | None) -> str | None:
    """Return the key of a server, if there is one.

    Raises:
        OutputError: If the file cannot be read.
    """
    if file is None:
        return os.environ.get("ADAIN_KEY")
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise OutputError(f"{file}: cannot be read as a key; check the path") from error


def complete_config(
    config: StylizeConfig,
    look: Controls,
    alpha: str,
    masks: Sequence[Path] | None,
    memory: str | None,
) -> StylizeConfig:
    """Return settings with what a command reads by itself.

    Raises:
        ValueError: If one of them makes no sense.
    """
    number, strength = parse_alpha(alpha)
    controls = replace(look, strength=strength, masks=tuple(masks or ()))
    return replace(config, alpha=number, memory=read_memory(memory), controls=controls)


def with_regions(config: StylizeConfig, styles: Sequence[str]) -> StylizeConfig:
    """Return settings with the parts of the photo that styles are for, as `irises@person`.

    Raises:
        ValueError: If that contradicts them.
    """
    if not any("@" in style for style in styles):
        return config
    from gallery.use_cases.references import parse_reference, style_regions

    regions = style_regions(list(map(parse_reference, styles)))
    return replace(config, controls=replace(config.controls, regions=regions))


def read_memory(text: str | None) -> int | None:
    """Return the bytes of `--memory`. Raises `ValueError` if it is no size."""
    return None if text is None else parse_memory(text)


def load_network(name: str, device: str, threads: int | None = None) -> "Network":
    """Return the model that `--model` and `--device` name, ready to paint many pictures.

    Args:
        name: As for `adain.engine.loading.load_model`.
        device: The same.
        threads: Of a pass on the CPU; by default one for each core.

    Raises:
        typer.BadParameter: If there is no such device.
        WeightsError: If there is no such model.
    """
    from adain.engine.device import keep_freed_memory
    from adain.engine.loading import load_model

    keep_freed_memory()
    with usage():
        return load_model(name, device, threads=threads)


def refuse_seed(seed: int | None, random: bool) -> None:
    """Refuse a seed that nothing depends on.

    Raises:
        ValueError: If there is one, and no style is chosen at random.
    """
    if seed is not None and not random:
        raise ValueError("--seed works with styles at random only; add --style random or drop it")


def parse_alpha(text: str) -> tuple[float, Path | None]:
    """Read a strength, which is a number or a picture.

    Returns:
        The strength everywhere, and the picture that it is multiplied by.

    Raises:
        ValueError: If it is neither.
    """
    number = text.removesuffix("%")
    try:
        return float(number) / (1 if number == text else 100), None
    except ValueError:
        if Path(text).is_file():
            return 1.0, Path(text)
    raise ValueError(f"strength must be a number, as 0.7 or 70%, or a picture file, got {text!r}")


def refuse_existing(file: Path, overwrite: bool) -> None:
    """Refuse at the beginning what would fail at the end.

    Raises:
        ImageExistsError: If there is such a file, and it must not be replaced.
        OutputError: If there is no folder for it.
    """
    if not overwrite and os.path.lexists(file):
        raise ImageExistsError(f"{file}: exists already; add --overwrite to replace it")
    if not file.parent.is_dir():
        raise OutputError(f"{file.parent}: no such folder; make it first")
