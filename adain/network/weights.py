"""Weights files: safetensors with the architecture in their metadata.

Two kinds make a model. The encoder defines the features, and with them every stored style; the
decoder turns normalized features into a picture and names the encoder that it was trained with.
A decoder can so improve for ever while stored styles stay valid.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open

from adain.config import DEFAULT_MODEL
from adain.errors import WeightsError
from adain.styles.statistics import EPS

Array = NDArray[np.float32]

ASSETS = Path(__file__).parents[1] / "assets"

SHIPPED_ENCODER = "vgg19_compact.safetensors"

SHIPPED_DECODER = "decoder_compact.safetensors"

MODELS = {DEFAULT_MODEL: SHIPPED_DECODER}
"""Decoder file of each shipped model, by the name that `load_model` takes."""

SHA256 = {
    SHIPPED_ENCODER: "cf7f57fbb69cbad1ad60c11e8af578d45251b1064934203c1bd56d63b8a0fbca",
    SHIPPED_DECODER: "466d5500f70db9068ee2096a61185d3423744c8f438eeb05132a16036d0070e9",
}
"""Pinned digests of the shipped files."""

MODELS_VARIABLE = "ADAIN_MODELS"

ENCODER_SUFFIX = ".encoder.safetensors"
DECODER_SUFFIX = ".decoder.safetensors"

ENCODER_FORMAT = "adain-encoder/1"
DECODER_FORMAT = "adain-decoder/1"


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model; they need not be there."""

    decoder: Path
    encoder: Path


def find_model(name: str | Path = DEFAULT_MODEL, encoder: Path | None = None) -> ModelFiles:
    """Return the files of a model.

    Args:
        name: Name of a shipped or an imported model, or the path of a decoder file.
        encoder: Encoder file; by default one that lies beside `NAME.decoder.safetensors` as
            `NAME.encoder.safetensors`, else the shipped one.

    Raises:
        WeightsError: If there is no model of this name.
    """
    decoder = find_decoder(name)
    beside = decoder.with_name(decoder.name.replace(DECODER_SUFFIX, ENCODER_SUFFIX))
    if encoder is None and beside != decoder and beside.is_file():
        encoder = beside
    return ModelFiles(decoder, encoder or ASSETS / SHIPPED_ENCODER)


def find_decoder(name: str | Path) -> Path:
    """Return the decoder file of a model, by its name or path. Raises `WeightsError`."""
    if isinstance(name, str) and name in MODELS:
        return ASSETS / MODELS[name]
    if Path(name).suffix or Path(name).exists():
        return Path(name)
    imported = imported_models()
    if str(name) in imported:
        return models_folder() / f"{name}{DECODER_SUFFIX}"
    raise WeightsError(
        f"no model named {str(name)!r}; there are: {', '.join([*MODELS, *imported])}, "
        "or give the path of a decoder file (.safetensors)"
    )


def models_folder() -> Path:
    """Return where imported models and downloaded networks are kept.

    That is `ADAIN_MODELS`, or `models` in the user's data folder.
    """
    if folder := os.environ.get(MODELS_VARIABLE):
        return Path(folder).expanduser().absolute()
    return user_data_path("adain", appauthor=False) / "models"


def imported_models() -> list[str]:
    """Return the names of the imported models."""
    files = models_folder().glob(f"*{DECODER_SUFFIX}")
    return sorted(file.name.removesuffix(DECODER_SUFFIX) for file in files)


def read_weights(path: Path, kind: str | None = None) -> tuple[dict[str, Array], dict[str, str]]:
    """Read the tensors, as float32, and the metadata of a safetensors file.

    Args:
        path: The file. If it lies among the shipped files, its digest must be the pinned one.
        kind: Required `format` in the metadata; None reads any file.

    Raises:
        WeightsError: If the file is missing, truncated, altered, of another kind or not finite.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    if path.parent == ASSETS and _sha256(path) != SHA256.get(path.name):
        raise WeightsError(f"{path.name}: differs from the shipped file; reinstall the package")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            if kind is not None and metadata.get("format") != kind:
                found = metadata.get("format", "a file without a format")
                raise WeightsError(f"{path.name}: expected {kind}, found {found}")
            tensors = {name: _single(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path.name}: not a whole safetensors file ({error}); get the file again"
        ) from error
    except TypeError as error:  # numpy has no bfloat16, for one.
        raise WeightsError(f"{path.name}: numbers of a kind that is not read ({error})") from error
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise WeightsError(f"{path.name}: {name} holds numbers that are not finite")
    return tensors, metadata


def _single(tensor: NDArray[Any]) -> Array:
    """Return a tensor in single precision."""
    if tensor.dtype.kind != "f":  # Packages that are there by chance teach numpy others.
        raise TypeError(f"{tensor.dtype} is no type of numpy's")
    return tensor.astype(np.float32)


def architecture(path: Path, metadata: Mapping[str, str], kind: type) -> Any:
    """Return the architecture that a file says, a `dict` or a `list`. Raises `WeightsError`."""
    try:
        value = json.loads(metadata["architecture"])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path.name}: no architecture in its metadata") from error
    if not isinstance(value, kind):
        raise WeightsError(f"{path.name}: its architecture is not a {kind.__name__}")
    return value


def encoder_fingerprint(tensors: Mapping[str, Array], widths: Sequence[int]) -> str:
    """Return 16 hex digits that change when stored style statistics would change.

    They cover the encoder's weights and layers and the constant under the root; the heads for
    losses do not count.

    Args:
        tensors: Weights of the encoder, float32.
        widths: Channels of each of its blocks.
    """
    digest = hashlib.sha256(json.dumps({"eps": EPS, "widths": widths}).encode())
    for name, tensor in sorted(tensors.items()):
        if name.startswith("conv"):
            digest.update(name.encode())
            digest.update(tensor.tobytes())
    return digest.hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
