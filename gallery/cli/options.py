"""Options that several commands share."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adain.config import COLOR_MODES, Controls
from adain.errors import ImageExistsError
from gallery.cli.exits import usage
from gallery.config import StylizeConfig, parse_memory
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
MaxSide = Annotated[
    int, typer.Option(metavar="PX", help="Longest side; larger photos are shrunk first.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
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

Model = Annotated[
    str, typer.Option(metavar="NAME|PATH", help="A shipped or imported model, or a decoder file.")
]
Device = Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda, cuda:N or mps.")]

Alpha = Annotated[
    str,
    typer.Option(
        metavar="A|PICTURE",
        help="Strength: 0 keeps the photo, 1 is the full style; or a grey picture of it.",
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
Feather = Annotated[
    float, typer.Option(metavar="PX", help="Pixels over which the regions of masks blend.")
]
Stroke = Annotated[
    float,
    typer.Option(
        metavar="FACTOR",
        help="Size of the strokes: 2 doubles it, 0.5 halves it, 0 is the finest.",
    ),
]
StyleSize = Annotated[
    int, typer.Option(metavar="PX", help="Shorter side at which paintings are measured.")
]
PreserveColor = Annotated[
    str, typer.Option(metavar="MODE", help=f"Keep the photo's colours: {', '.join(COLOR_MODES)}.")
]
Photorealistic = Annotated[
    bool, typer.Option("--photorealistic", help="Change colours only, not edges.")
]
Smooth = Annotated[
    float, typer.Option(metavar="S", help="0 to 1: even out faint strokes and noise.")
]
Sharpen = Annotated[float, typer.Option(metavar="S", help="0 to 3: stress edges and strokes.")]
Bits = Annotated[int, typer.Option(metavar="8|16", help="Bits of a channel; 16 in PNG and TIFF.")]
KeepMetadata = Annotated[
    bool,
    typer.Option(
        "--keep-metadata", help="Copy date, camera, author and rights of the photo; never GPS."
    ),
]
NoProvenance = Annotated[
    bool, typer.Option("--no-provenance", help="Do not write into the file what made it.")
]

Format = Annotated[
    str | None,
    typer.Option(
        metavar="F", help="jpg, png, webp, tiff, bmp or avif; by default that of the photo."
    ),
]
JpegQuality = Annotated[int, typer.Option(metavar="Q", help="1 to 100; for WebP and AVIF too.")]
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


def stylize_config(options: Mapping[str, Any]) -> StylizeConfig:
    """Return the settings of a command, of whose options all here have the same names.

    Raises:
        ValueError: If one of them makes no sense.
    """
    alpha, strength = parse_alpha(str(options["alpha"]))
    memory = options.get("memory")
    looks = ("stroke", "preserve_color", "photorealistic", "smooth", "sharpen")
    rest = ("max_side", "model", "device", "format", "jpeg_quality", "overwrite", "bits")
    return StylizeConfig(
        alpha=alpha,
        controls=Controls(
            strength=strength,
            masks=tuple(options.get("mask") or ()),
            feather=options.get("feather", Controls.feather),
            **{name: options[name] for name in looks},
        ),
        style_side=options["style_size"],
        keep_metadata=options["keep_metadata"],
        provenance=not options["no_provenance"],
        memory=None if memory is None else parse_memory(memory),
        quality=options.get("quality", StylizeConfig.quality),
        **{name: options[name] for name in rest},
    )


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
    try:
        return float(text), None
    except ValueError:
        if Path(text).is_file():
            return 1.0, Path(text)
    raise ValueError(f"alpha must be a number or a picture file, got {text!r}")


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
