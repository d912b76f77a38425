"""Weights files: safetensors with the architecture in their metadata.

Two kinds make a model. The encoder defines the features, and with them every stored style; the
decoder turns normalized features into a picture and names the encoder that it was trained with.
A decoder can so improve for ever while stored styles stay valid.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from adain.errors import WeightsError
from adain.files import new_file
from adain.network.decoder import Decoder
from adain.network.encoder import Encoder, EncoderConfig
from adain.network.model import StyleTransferModel
from adain.styles.recoloring import StyleColors
from adain.styles.statistics import EPS

ASSETS = Path(__file__).parents[1] / "assets"

SHIPPED_ENCODER = "vgg19_compact.safetensors"

SHIPPED_DECODER = "decoder_compact.safetensors"

MODELS = {"compact": SHIPPED_DECODER}
"""Decoder file of each shipped model, by the name that `load_model` takes."""

DEFAULT_MODEL = "compact"

SHA256 = {
    SHIPPED_ENCODER: "cf7f57fbb69cbad1ad60c11e8af578d45251b1064934203c1bd56d63b8a0fbca",
    SHIPPED_DECODER: "3b5fc91bfd2a1a77b7609fa2a2c1f51bea6bb74da5cfc406b8dc9b1cfc0a224b",
}
"""Pinned digests of the shipped files."""

MODELS_VARIABLE = "ADAIN_MODELS"

ENCODER_SUFFIX = ".encoder.safetensors"
DECODER_SUFFIX = ".decoder.safetensors"

ENCODER_FORMAT = "adain-encoder/1"
DECODER_FORMAT = "adain-decoder/1"


def load_model(
    name: str | Path = DEFAULT_MODEL,
    device: torch.device | str = "cpu",
    encoder: Path | None = None,
) -> StyleTransferModel:
    """Load a model for inference.

    Args:
        name: Name of a shipped or an imported model, or the path of a decoder file.
        device: Where the model shall run.
        encoder: Encoder file to use with a decoder that was trained with another encoder than
            the shipped one. By default one that lies beside `NAME.decoder.safetensors` as
            `NAME.encoder.safetensors`, else the shipped one.

    Raises:
        WeightsError: If a file is missing, truncated, altered, of another kind, holds numbers
            that are not finite, or decoder and encoder do not belong together.
    """
    path = _find_decoder(name)
    beside = path.with_name(path.name.replace(DECODER_SUFFIX, ENCODER_SUFFIX))
    if encoder is None and beside != path and beside.is_file():
        encoder = beside
    loaded_encoder = load_encoder(encoder)
    decoder, metadata = load_decoder(path)
    fingerprint = encoder_fingerprint(loaded_encoder)
    if metadata.get("encoder") != fingerprint:
        raise WeightsError(
            f"{path.name}: trained with encoder {metadata.get('encoder', 'unknown')}, not with "
            f"{fingerprint}; give the encoder file that belongs to it"
        )
    model = StyleTransferModel(loaded_encoder, decoder, fingerprint).requires_grad_(False).eval()
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


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


def _find_decoder(name: str | Path) -> Path:
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


def load_encoder(path: Path | None = None) -> Encoder:
    """Load an encoder file, by default the shipped one. Raises `WeightsError`."""
    path = path or ASSETS / SHIPPED_ENCODER
    tensors, metadata = read_weights(path, ENCODER_FORMAT)
    fields = _architecture(path, metadata, dict)
    try:
        config = EncoderConfig(**{key: tuple(map(int, value)) for key, value in fields.items()})
        with torch.device("meta"):
            encoder = Encoder(config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path.name}: its architecture makes no encoder ({error})") from error
    _fill(encoder, tensors, path)
    return encoder


def load_decoder(path: Path) -> tuple[Decoder, dict[str, str]]:
    """Load a decoder file with its metadata. Raises `WeightsError`."""
    tensors, metadata = read_weights(path, DECODER_FORMAT)
    rows = _architecture(path, metadata, list)
    try:
        with torch.device("meta"):
            gain = float(metadata["max_gain"]) if "max_gain" in metadata else None
            inputs = tensors.get("colors.weight")
            colors = None if inputs is None else StyleColors(len(inputs))
            decoder = Decoder(tuple(tuple(row) for row in rows), gain, colors)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise WeightsError(f"{path.name}: its architecture makes no decoder ({error})") from error
    _fill(decoder, tensors, path)
    return decoder, metadata


def save_encoder(
    encoder: Encoder,
    path: Path,
    facts: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.half,
) -> None:
    """Write an encoder file, atomically; `facts` join its metadata.

    Half precision halves the file; the rounding is far below what training leaves undecided.
    """
    architecture = json.dumps(asdict(encoder.config))
    metadata = {"format": ENCODER_FORMAT, "architecture": architecture, **(facts or {})}
    _save(encoder, path, metadata, dtype)


def save_decoder(
    decoder: Decoder,
    path: Path,
    fingerprint: str,
    facts: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.half,
) -> None:
    """Write a decoder file, atomically; `fingerprint` is that of its encoder.

    What tells colours from statistics is kept in full precision: it takes small differences.
    """
    metadata = {"format": DECODER_FORMAT, "architecture": json.dumps(decoder.table)}
    if decoder.max_gain is not None:
        metadata["max_gain"] = str(decoder.max_gain)
    _save(decoder, path, {**metadata, "encoder": fingerprint, **(facts or {})}, dtype)


def encoder_fingerprint(encoder: Encoder) -> str:
    """Return 16 hex digits that change when stored style statistics would change.

    They cover the encoder's weights and layers and the constant under the root; the heads for
    losses do not count.
    """
    digest = hashlib.sha256(json.dumps({"eps": EPS, "widths": encoder.config.widths}).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        if name.startswith("conv"):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def read_weights(path: Path, kind: str | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
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
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            if kind is not None and metadata.get("format") != kind:
                found = metadata.get("format", "a file without a format")
                raise WeightsError(f"{path.name}: expected {kind}, found {found}")
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path.name}: not a whole safetensors file ({error}); get the file again"
        ) from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{path.name}: {name} holds numbers that are not finite")
    return tensors, metadata


def _architecture(path: Path, metadata: Mapping[str, str], kind: type) -> Any:
    try:
        value = json.loads(metadata["architecture"])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path.name}: no architecture in its metadata") from error
    if not isinstance(value, kind):
        raise WeightsError(f"{path.name}: its architecture is not a {kind.__name__}")
    return value


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Put tensors into a module built without memory, so a hostile table costs nothing."""
    try:
        module.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path.name}: tensors do not fit its architecture: {detail}") from error


def _save(module: nn.Module, path: Path, metadata: dict[str, str], dtype: torch.dtype) -> None:
    exact = dict(module.named_buffers())
    tensors = {
        name: tensor.detach().to(torch.float if name in exact else dtype).cpu().contiguous()
        for name, tensor in module.state_dict().items()
    }
    with new_file(path, overwrite=True) as file:
        save_file(tensors, file.name, metadata)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
