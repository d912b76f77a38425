"""Networks from weights files, and weights files from networks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn

from adain.errors import WeightsError
from adain.files import new_file
from adain.network.decoder import Decoder, StyleModulation
from adain.network.encoder import Encoder, EncoderConfig
from adain.network.weights import (
    ASSETS,
    DECODER_FORMAT,
    ENCODER_FORMAT,
    SHIPPED_ENCODER,
    Array,
    ModelFiles,
    architecture,
    encoder_fingerprint,
    read_weights,
)
from adain.styles.modulation import Modulation
from adain.styles.recoloring import StyleColors


class Model(Protocol):
    """The part of an `adain.engine.model.Model` that `load_network` needs."""

    @property
    def files(self) -> ModelFiles: ...  # noqa: D102

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def device(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Network:
    """A model as torch modules, frozen, for what needs gradients.

    Attributes:
        encoder: Encoder to `relu5_1`, with heads for losses if its file has them.
        decoder: What paints.
        fingerprint: Identifies the encoder for caches of style statistics.
    """

    encoder: Encoder
    decoder: Decoder
    fingerprint: str


def load_network(model: Model) -> Network:
    """Load the torch modules of a model, on its device. Raises `WeightsError`."""
    encoder, decoder = load_encoder(model.files.encoder), load_decoder(model.files.decoder)[0]
    for module in (encoder, decoder):
        module.requires_grad_(False).eval()
        module.to(model.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Network(encoder, decoder, model.fingerprint)


def load_encoder(path: Path | None = None) -> Encoder:
    """Load an encoder file, by default the shipped one. Raises `WeightsError`."""
    path = path or ASSETS / SHIPPED_ENCODER
    tensors, metadata = read_weights(path, ENCODER_FORMAT)
    return build_encoder(architecture(path, metadata, dict), tensors, path.name)


def load_decoder(path: Path) -> tuple[Decoder, dict[str, str]]:
    """Load a decoder file with its metadata. Raises `WeightsError`."""
    tensors, metadata = read_weights(path, DECODER_FORMAT)
    rows = architecture(path, metadata, list)
    return build_decoder(rows, tensors, metadata.get("max_gain"), path.name), metadata


def build_encoder(
    config: Mapping[str, Sequence[int]], tensors: Mapping[str, Array], name: str = "the encoder"
) -> Encoder:
    """Return an encoder of these weights, which it shares.

    Args:
        config: Fields of its `EncoderConfig`.
        tensors: Weights by name.
        name: What error messages call it.

    Raises:
        WeightsError: If they make no encoder.
    """
    try:
        fields = {key: tuple(map(int, value)) for key, value in config.items()}
        with torch.device("meta"):
            encoder = Encoder(EncoderConfig(**fields))
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{name}: its architecture makes no encoder ({error})") from error
    _fill(encoder, tensors, name)
    return encoder


def build_decoder(
    table: Sequence[Sequence[Any]],
    tensors: Mapping[str, Array],
    max_gain: float | str | None,
    name: str = "the decoder",
) -> Decoder:
    """Return a decoder of these weights, which it shares.

    Args:
        table: Rows of its `DecoderTable`.
        tensors: Weights by name, those of `colors` and `modulation` among them.
        max_gain: Its limit of the gain.
        name: What error messages call it.

    Raises:
        WeightsError: If they make no decoder.
    """
    try:
        modulation = Modulation.of(tensors)
        with torch.device("meta"):
            decoder = Decoder(
                tuple(tuple(row) for row in table),
                None if max_gain is None else float(max_gain),
                StyleColors.of(tensors),
                None
                if modulation is None
                else StyleModulation(
                    len(modulation.style_mean),
                    len(modulation.hidden_bias),
                    len(modulation.out_bias),
                ),
            )
    except (TypeError, ValueError, LookupError, RuntimeError, WeightsError) as error:
        raise WeightsError(f"{name}: its architecture makes no decoder ({error})") from error
    _fill(decoder, {k: v for k, v in tensors.items() if not k.startswith("colors.")}, name)
    return decoder


def fingerprint(encoder: Encoder) -> str:
    """Return `encoder_fingerprint` of an encoder, whatever device it is on."""
    return encoder_fingerprint(_tensors(encoder), encoder.config.widths)


def save_encoder(
    encoder: Encoder,
    path: Path,
    facts: Mapping[str, str] | None = None,
    dtype: type[np.floating] = np.float16,
) -> None:
    """Write an encoder file, atomically; `facts` join its metadata.

    Half precision halves the file; the rounding is far below what training leaves undecided.
    """
    config = json.dumps(asdict(encoder.config))
    metadata = {"format": ENCODER_FORMAT, "architecture": config, **(facts or {})}
    _save({name: value.astype(dtype) for name, value in _tensors(encoder).items()}, path, metadata)


def save_decoder(
    decoder: Decoder,
    path: Path,
    fingerprint: str,
    facts: Mapping[str, str] | None = None,
    dtype: type[np.floating] = np.float16,
) -> None:
    """Write a decoder file, atomically; `fingerprint` is that of its encoder.

    What tells colours from statistics is kept in full precision: it takes small differences.
    So is what statistics are compared with.
    """
    metadata = {"format": DECODER_FORMAT, "architecture": json.dumps(decoder.table)}
    if decoder.max_gain is not None:
        metadata["max_gain"] = str(decoder.max_gain)
    exact = dict(decoder.named_buffers())
    tensors: dict[str, NDArray[np.floating]] = {
        name: value if name in exact else value.astype(dtype)
        for name, value in _tensors(decoder).items()
    }
    if decoder.colors is not None:
        tensors |= {"colors.weight": decoder.colors.weight, "colors.bias": decoder.colors.bias}
    _save(tensors, path, {**metadata, "encoder": fingerprint, **(facts or {})})


def _tensors(module: nn.Module) -> dict[str, Array]:
    return {
        name: value.detach().float().cpu().contiguous().numpy()
        for name, value in module.state_dict().items()
    }


def _fill(module: nn.Module, tensors: Mapping[str, Array], name: str) -> None:
    """Put tensors into a module built without memory, so a hostile table costs nothing."""
    try:
        module.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()}, assign=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(f"{name}: tensors do not fit its architecture: {detail}") from error


def _save(
    tensors: Mapping[str, NDArray[np.floating]], path: Path, metadata: dict[str, str]
) -> None:
    with new_file(path, overwrite=True) as file:
        save_file(dict(tensors), file.name, metadata)
