"""Tensors that others trained, in the layout of ours.

Pickles are read here only, and without code in them.
"""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adain.errors import WeightsError
from adain.network.decoder import Decoder, DecoderTable
from adain.network.encoder import Encoder, EncoderConfig
from adain.network.loading import fingerprint, save_decoder, save_encoder

CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 1),
    "vgg13": (2, 2, 2, 2, 1),
    "vgg16": (2, 2, 3, 3, 1),
    "vgg19": (2, 2, 4, 4, 1),
}
"""Convolutions of each block up to relu5_1 of torchvision's networks (Simonyan and Zisserman,
"Very deep convolutional networks", ICLR 2015, table 1, columns A, B, D, E)."""


WIDTHS = (64, 128, 256, 512, 512)
"""Channels of their blocks."""


ADAIN_TABLE: DecoderTable = (
    ("start", "relu4_1"),
    ("conv", 512, 256),
    ("upsample", "nearest"),
    ("conv", 256, 256),
    ("conv", 256, 256),
    ("conv", 256, 256),
    ("conv", 256, 128),
    ("upsample", "nearest"),
    ("conv", 128, 128),
    ("conv", 128, 64),
    ("upsample", "nearest"),
    ("conv", 64, 64),
    ("image", 64),
)
"""The decoder of the AdaIN paper, as pytorch-AdaIN has it in `decoder.pth`."""

PICKLE_LIMIT = 2**30
"""Bytes of the largest pickle that is read; torchvision's largest VGG has 575 million."""


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a `.pth` file; code in it is refused, not run. Raises `WeightsError`."""
    try:
        if path.stat().st_size > PICKLE_LIMIT:
            raise WeightsError(f"{path.name}: larger than any weights file that is known here")
        with warnings.catch_warnings(action="ignore"):  # about the kind of pickle
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(f"{path.name}: not a whole file of plain tensors") from error
    if not isinstance(tensors, Mapping) or not all(
        isinstance(value, Tensor) for value in tensors.values()
    ):
        raise WeightsError(f"{path.name}: holds something other than tensors by name")
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{path.name}: {name} holds numbers that are not finite")
    return {str(name): tensor.float() for name, tensor in tensors.items()}


def torchvision_encoder(name: str, tensors: Mapping[str, Tensor]) -> Encoder:
    """Build the encoder of a VGG of torchvision, whose preprocessing becomes part of it.

    Reflection takes the place of the zeros that torchvision pads with, as everywhere here.

    Args:
        name: Of `CONVOLUTIONS`.
        tensors: Its state, `features.0.weight` ...; what lies beyond conv5_1 is not used.

    Raises:
        WeightsError: If they are not of this network.
    """
    scale = torch.diag(1 / torch.tensor(IMAGENET_STD))
    offset = -torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD)
    features = {
        key.removeprefix("features."): value
        for key, value in tensors.items()
        if key.startswith("features.")
    }
    return _build_encoder(CONVOLUTIONS[name], features, scale, offset, name)


def import_adain(
    encoder_path: Path, decoder_path: Path, folder: Path, name: str
) -> tuple[Path, Path]:
    """Turn the files that pytorch-AdaIN publishes into an encoder and a decoder file of ours.

    Its statistics divide by one position less (an unbiased variance), a difference of 1e-4 at
    512 pixels; otherwise the model computes the same.

    Args:
        encoder_path: `vgg_normalised.pth`.
        decoder_path: `decoder.pth`.
        folder: Where the files go.
        name: Of the model.

    Raises:
        WeightsError: If the files have another layout or cannot be read or written.
    """
    tensors = read_pickle(encoder_path)
    try:
        # The first, 1x1 convolution is the preprocessing.
        matrix, offset = tensors.pop("0.weight")[:, :, 0, 0], tensors.pop("0.bias")
    except (KeyError, IndexError) as error:
        raise WeightsError(
            f"{encoder_path.name}: not vgg_normalised.pth of pytorch-AdaIN"
        ) from error
    encoder = _build_encoder(CONVOLUTIONS["vgg19"], tensors, matrix, offset, encoder_path.name)
    decoder = Decoder(ADAIN_TABLE)
    rows = [str(i) for i, row in enumerate(ADAIN_TABLE) if row[0] in ("conv", "image")]
    load_state(decoder, _in_order(read_pickle(decoder_path), rows), decoder_path.name)
    paths = folder / f"{name}.encoder.safetensors", folder / f"{name}.decoder.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_encoder(encoder, paths[0], {"name": name}, np.float32)
        save_decoder(decoder, paths[1], fingerprint(encoder), {"name": name}, np.float32)
    except OSError as error:
        raise WeightsError(f"{name}: cannot be written ({error.strerror or error})") from error
    return paths


def fold_preprocessing(tensors: dict[str, Tensor], matrix: Tensor, offset: Tensor) -> None:
    """Make a 1x1 convolution before `conv1_1` part of it, in place.

    Reflection commutes with a 1x1 convolution, so this is exact.

    Args:
        tensors: `conv1_1.weight` `(C, 3, 3, 3)` and `conv1_1.bias` `(C,)`, among others.
        matrix: Shape `(3, 3)`, from RGB in [0, 1] to what `conv1_1` expects.
        offset: Shape `(3,)`, added to that.
    """
    kernel = tensors["conv1_1.weight"]
    tensors["conv1_1.bias"] = tensors["conv1_1.bias"] + torch.einsum("oihw,i->o", kernel, offset)
    tensors["conv1_1.weight"] = torch.einsum("oihw,ij->ojhw", kernel, matrix)


def _build_encoder(
    convolutions: tuple[int, ...],
    tensors: Mapping[str, Tensor],
    matrix: Tensor,
    offset: Tensor,
    source: str,
) -> Encoder:
    encoder = Encoder(EncoderConfig(WIDTHS, (), convolutions))
    names = [name for name, _ in encoder.named_children()]
    state = _in_order(tensors, names)
    try:
        fold_preprocessing(state, matrix, offset)
    except (KeyError, RuntimeError) as error:
        raise WeightsError(f"{source}: not the layout of a VGG") from error
    load_state(encoder, state, source)
    return encoder.requires_grad_(False).eval()


def _in_order(tensors: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Rename the first convolutions of a sequence, `7.weight` ..., to `names`."""
    numbers = sorted({int(key.split(".")[0]) for key in tensors if key.split(".")[0].isdigit()})
    return {
        f"{name}.{part}": tensors[f"{number}.{part}"]
        for name, number in zip(names, numbers, strict=False)
        for part in ("weight", "bias")
        if f"{number}.{part}" in tensors
    }


def load_state(module: torch.nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load a state into a module. Raises `WeightsError`, naming the source, if it does not fit."""
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{source}: not the layout that is expected of it") from error


IMAGENET_MEAN = (0.485, 0.456, 0.406)

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and deviation of RGB in [0, 1] by which torchvision's networks normalise."""
