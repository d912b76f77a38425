"""`adain weights`: the shipped network, imported models, and the networks of others."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from adain.engine.torch_extra import require_torch
from adain.errors import WeightsError
from gallery.cli.exits import usage
from gallery.cli.options import Quiet
from gallery.cli.streams import byte_progress, complain, emit

app = typer.Typer(
    no_args_is_help=True, help="Weights: what is here, and what can be brought from elsewhere."
)

IMPORT_EXAMPLES = """\b
Examples:
  adain weights import vgg19 Downloads/vgg19-dcbb9e9d.pth
  adain weights import naoto vgg_normalised.pth decoder.pth
  adain stylize photo.jpg --style painting.jpg --model naoto
"""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


@app.command("list")
def list_weights(as_json: AsJson = False) -> None:
    """List models for --model, and networks that can be downloaded."""
    for row in _rows():
        if as_json:
            emit(json.dumps(row))
        else:
            emit(f"{row['name']:<13} {row['kind']:<9} {row['state']:<16} {row['origin']}")


@app.command(epilog="Example: adain weights download vgg19")
def download(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Such as vgg19.")],
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Folder that has the files under their own names."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Download networks that torchvision publishes, for rendering.

    A download that breaks off goes on where it was.
    """
    from adain.network.download import download
    from adain.network.pretrained import network_path, network_url

    for name in names:
        path = network_path(_network(name))
        if not path.exists():
            url = network_url(name)
            if mirror is not None:
                url = f"{mirror.rstrip('/')}/{path.name}"
            with byte_progress(path.name, hidden=quiet) as progress:
                download(url, path, progress)
        emit(str(path))


@app.command("import", epilog=IMPORT_EXAMPLES)
def import_weights(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A network such as vgg19, or a new model's name.")
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="The network's .pth file; or vgg_normalised.pth and decoder.pth of pytorch-AdaIN.",
        ),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model of this name.")
    ] = False,
) -> None:
    """Bring weights from files of torchvision or pytorch-AdaIN.

    A network for renders, or a model to paint with.
    """
    from adain.network.pretrained import NETWORKS, import_network
    from adain.network.weights import MODELS, imported_models, models_folder

    if name in NETWORKS:
        if len(files) != 1:
            raise typer.BadParameter(f"{name} is one file")
        emit(str(import_network(name, files[0])))
        return
    if len(files) != 2:
        raise typer.BadParameter(
            "a model is two files, vgg_normalised.pth and decoder.pth; "
            f"networks are: {', '.join(NETWORKS)}"
        )
    with usage():
        if name in MODELS or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{name!r} cannot name a model; give letters, digits, - and _")
    if name in imported_models() and not overwrite:
        raise WeightsError(f"there is a model {name}; give another name, or --overwrite")
    require_torch("importing a model")
    from adain.network.conversion import import_adain

    for path in import_adain(files[0], files[1], models_folder(), name):
        emit(str(path))


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Check every weights file that is here."""
    failed = False
    for row in _rows():
        if row["state"] == "not here":
            continue
        try:
            _check(row["name"], row["kind"])
            row["state"] = "ok"
        except WeightsError as error:
            failed, row["state"] = True, "damaged"
            complain(str(error))
        emit(json.dumps(row) if as_json else f"{row['name']}: {row['state']}")
    if failed:
        raise typer.Exit(7)


def _rows() -> list[dict[str, Any]]:
    from adain.network.pretrained import NETWORKS, network_path
    from adain.network.weights import MODELS, imported_models

    rows = [
        {"name": name, "kind": "model", "state": "shipped", "origin": "trained for adain, MIT"}
        for name in MODELS
    ]
    rows += [
        {"name": name, "kind": "model", "state": "imported", "origin": "pytorch-AdaIN"}
        for name in imported_models()
    ]
    rows += [
        {
            "name": name,
            "kind": "network",
            "state": "here" if network_path(name).exists() else "not here",
            "origin": "torchvision, ImageNet",
        }
        for name in NETWORKS
    ]
    return rows


def _check(name: str, kind: str) -> None:
    from adain.engine.model import ModelWeights
    from adain.network.pretrained import check_network
    from adain.network.weights import find_model

    if kind == "model":
        ModelWeights.read(find_model(name))
    else:
        check_network(name)


def _network(name: str) -> str:
    from adain.network.pretrained import NETWORKS

    if name not in NETWORKS:
        raise typer.BadParameter(f"no network {name!r}; there are: {', '.join(NETWORKS)}")
    return name
