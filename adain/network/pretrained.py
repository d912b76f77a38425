"""The ImageNet networks of torchvision as perceptual networks: whence, and where they are kept."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from adain.errors import WeightsError
from adain.files import new_file
from adain.network.conversion import CONVOLUTIONS, read_pickle, torchvision_encoder
from adain.network.download import check_digest, url_digest
from adain.network.encoder import Encoder
from adain.network.squeezenet import SQUEEZENET, SqueezeNet
from adain.network.weights import models_folder

NETWORKS = (*CONVOLUTIONS, SQUEEZENET)
"""Names, as torchvision has them, of the networks that can be brought."""


def network_url(name: str) -> str:
    """Return where torchvision has the ImageNet weights of a network of `NETWORKS`."""
    from torchvision.models import get_model_weights

    url: str = get_model_weights(name).DEFAULT.url
    return url


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
