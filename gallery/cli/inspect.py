"""`adain inspect`: what the network sees in a photo."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from adain.engine.torch_extra import require_torch
from gallery.cli.exits import usage
from gallery.cli.fields import spread
from gallery.cli.options import (
    Device,
    JsonObject,
    Model,
    Overwrite,
    Quiet,
    load_network,
    refuse_existing,
)
from gallery.cli.streams import emit, progress, shares
from gallery.config import InspectConfig, StylizeConfig

DEFAULTS = InspectConfig()

EXAMPLES = """\b
Examples:
  adain inspect harbour.jpg
  adain inspect harbour.jpg --layer relu4_1 --maps 64 -o seen.png
"""


@spread()
def inspect(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="A picture.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file or a folder; by default PHOTO.LAYER.png beside the photo.",
        ),
    ] = None,
    config: InspectConfig = DEFAULTS,
    overwrite: Overwrite = False,
    model: Model = StylizeConfig.model,
    device: Device = StylizeConfig.device,
    as_json: JsonObject = False,
    quiet: Quiet = False,
) -> None:
    """Show what the network sees in a photo, on one sheet.

    The strongest feature maps of a layer, which channels respond together (its Gram matrix), and
    the photo remade from what each layer knows. Prints the path of the sheet.
    """
    require_torch("inspecting")
    from gallery.use_cases.outputs import plan_sheet

    start = time.perf_counter()
    with usage():
        target = plan_sheet(photo, config.layer, output)
    refuse_existing(target, overwrite)

    from adain.imaging.reading import load_image
    from adain.imaging.writing import save_image
    from adain.network import loading
    from gallery.use_cases.inspect import inspect_picture

    encoder = loading.load_network(load_network(model, device)).encoder
    picture = load_image(Path(photo))
    with usage(), progress(1, hidden=quiet, label="inspecting") as advance:
        seen = inspect_picture(encoder, picture, config, shares(advance))
    save_image(seen.sheet, target, overwrite=overwrite)
    facts = {
        "photo": photo,
        "output": str(target),
        "layer": config.layer,
        "seconds": round(time.perf_counter() - start, 3),
        "channels": seen.channels,
        "reconstructions": seen.reconstructions,
    }
    emit(json.dumps(facts) if as_json else str(target))
