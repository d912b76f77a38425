"""Weights that others trained: where they come from, and how they become files of ours.

The ImageNet networks of torchvision serve as perceptual networks; the pair of files that
pytorch-AdaIN publishes becomes a model. Pickles are read here only, and without code in them.
"""

import hashlib
import os
import pickle
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import requests
import torch
from torch import Tensor, nn

from adain.errors import WeightsError
from adain.files import new_file
from adain.network.decoder import Decoder, DecoderTable
from adain.network.encoder import Encoder, EncoderConfig
from adain.network.weights import encoder_fingerprint, models_folder, save_decoder, save_encoder

CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 1),
    "vgg13": (2, 2, 2, 2, 1),
    "vgg16": (2, 2, 3, 3, 1),
    "vgg19": (2, 2, 4, 4, 1),
}
"""Convolutions of each block up to relu5_1 of torchvision's networks (Simonyan and Zisserman,
"Very deep convolutional networks", ICLR 2015, table 1, columns A, B, D, E)."""

SQUEEZENET = "squeezenet1_1"

NETWORKS = (*CONVOLUTIONS, SQUEEZENET)
"""Names, as torchvision has them, of the networks that can be brought."""

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of their blocks."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What torchvision's networks expect to be subtracted from RGB in [0, 1], and to divide by."""

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

ATTEMPTS = 5
"""Times that a download which broke off is taken up again without getting any further."""

TIMEOUT = (10, 60)
"""Seconds to connect, and between two parts of the answer."""

CHUNK = 2**18


def network_url(name: str) -> str:
    """Return where torchvision has the ImageNet weights of a network of `NETWORKS`."""
    from torchvision.models import get_model_weights

    url: str = get_model_weights(name).DEFAULT.url
    return url


def url_digest(url: str) -> str:
    """Return the first hex digits of the sha256 that the name in torchvision's URLs promises."""
    return Path(urlsplit(url).path).stem.rpartition("-")[2]


def download(
    url: str, path: Path, progress: Callable[[int, int | None], None] = lambda done, total: None
) -> None:
    """Fetch a weights file whose name ends in the start of its sha256, as torchvision's do.

    A download that breaks off goes on where it was, in this call and in a later one; `path`
    appears only when it is whole.

    Args:
        url: HTTP or HTTPS.
        path: The file to make; its part lies beside it as `.part`.
        progress: Called with the bytes so far and the size, if that is known.

    Raises:
        WeightsError: If the server cannot be reached or keeps breaking off, the file is not the
            promised one, or the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    failures = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                _fetch(url, part, progress)
                break
            except requests.RequestException as error:
                answer = getattr(error, "response", None)
                refused = answer is not None and answer.status_code < 500
                moved = part.exists() and part.stat().st_size > before
                failures = 0 if moved else failures + 1
                if refused or failures == ATTEMPTS:
                    raise WeightsError(
                        f"{url}: {_reason(error)}; where there is a connection, get this file, and "
                        f"bring it with: adain weights import {path.name.split('-')[0]} FILE"
                    ) from error
                time.sleep(0.2 * 2**failures)
        check_digest(part, url_digest(url), remove=True)
        os.replace(part, path)
    except OSError as error:
        raise WeightsError(f"{path.name}: cannot be written ({error.strerror or error})") from error


def _fetch(url: str, part: Path, progress: Callable[[int, int | None], None]) -> None:
    """Append what is missing to the part. Raises `requests.RequestException` if it breaks off."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    # The bytes as they are: a compressed answer could not be resumed.
    headers["Accept-Encoding"] = "identity"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:
            # There is nothing beyond what is here; the digest tells whether it is right.
            return
        answer.raise_for_status()
        if answer.status_code != 206:
            start = 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if start else "wb") as file:
            done = start
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    if total is not None and done < total:
        raise requests.ConnectionError("the connection broke off")


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answers {error.response.status_code}"
    match error:
        case requests.exceptions.MissingSchema() | requests.exceptions.InvalidURL():
            return "not a URL"
        case requests.Timeout():
            return "no answer in time"
        case _:
            return "cannot be reached, or breaks off"


def check_digest(path: Path, digest: str, remove: bool = False) -> None:
    """Raise `WeightsError` unless the file's sha256 begins with `digest`."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if not digest or not found.startswith(digest):
        if remove:
            path.unlink()
        raise WeightsError(
            f"{path.name}: its sha256 begins with {found[:8]}, not with {digest or 'a known one'}; "
            "it is damaged, or another file"
        )


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


def network_path(name: str) -> Path:
    """Return where the weights of a network of `NETWORKS` are kept."""
    return models_folder() / Path(urlsplit(network_url(name)).path).name


def import_network(name: str, file: Path) -> Path:
    """Copy torchvision's weights of a network from a file, once they are found to be whole.

    Raises:
        WeightsError: If the file is another one or damaged, or cannot be read or written.
    """
    path = network_path(name)
    try:
        check_digest(file, url_digest(network_url(name)))
        with file.open("rb") as source, new_file(path, overwrite=True, parents=True) as copy:
            shutil.copyfileobj(source, copy)
    except OSError as error:
        raise WeightsError(f"{file}: cannot be copied ({error.strerror or error})") from error
    return path


def load_network(name: str) -> "Encoder | SqueezeNet":
    """Load a network of `NETWORKS` that was downloaded or imported. Raises `WeightsError`."""
    path = network_path(name)
    if not path.is_file():
        raise WeightsError(
            f"{name} is not here; get it with: adain weights download {name}; or bring "
            f"{path.name} from elsewhere with: adain weights import {name} FILE"
        )
    check_digest(path, url_digest(network_url(name)))
    tensors = read_pickle(path)
    if name == SQUEEZENET:
        return SqueezeNet.of(tensors)
    return torchvision_encoder(name, tensors)


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


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 as a perceptual network: a tenth of the multiplications of VGG-19.

    Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (2016). The
    layer before each pooling, and the last one, take the names of those of a VGG. It keeps the
    zeros that torchvision pads with: its deepest layers can be too small for reflection.
    """

    TAPS: Mapping[int, str] = {
        1: "relu1_1",
        4: "relu2_1",
        7: "relu3_1",
        9: "relu4_1",
        12: "relu5_1",
    }

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import squeezenet1_1

        self.features = squeezenet1_1(weights=None).features
        self.mean = nn.Buffer(torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.std = nn.Buffer(torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> "SqueezeNet":
        """Build it from torchvision's state. Raises `WeightsError` for another one."""
        network = SqueezeNet()
        own = {name: value for name, value in tensors.items() if name.startswith("features.")}
        _load(network, own, SQUEEZENET)
        return network.requires_grad_(False).eval()

    def forward(
        self,
        image: Tensor,
        layers: Sequence[str],
        pool: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the features at `layers`, as `Encoder.forward` does, of sides of at least 32."""
        found = {}
        x = (image - self.mean) / self.std
        for i, module in enumerate(self.features):
            x = pool(x) if pool and isinstance(module, nn.MaxPool2d) else module(x)
            if i in self.TAPS:
                found[self.TAPS[i]] = x
        return {layer: found[layer] for layer in layers}


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
    _load(decoder, _in_order(read_pickle(decoder_path), rows), decoder_path.name)
    paths = folder / f"{name}.encoder.safetensors", folder / f"{name}.decoder.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_encoder(encoder, paths[0], {"name": name}, torch.float32)
        save_decoder(decoder, paths[1], encoder_fingerprint(encoder), {"name": name}, torch.float32)
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
    _load(encoder, state, source)
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


def _load(module: torch.nn.Module, state: dict[str, Tensor], source: str) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{source}: not the layout that is expected of it") from error
