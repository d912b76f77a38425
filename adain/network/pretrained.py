"""The ImageNet networks of torchvision as perceptual networks: whence, and where they are kept.

All but `load_network` works without torch.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from adain.errors import WeightsError
from adain.files import new_file
from adain.network.download import check_digest, url_digest
from adain.network.weights import models_folder

if TYPE_CHECKING:
    from adain.network.encoder import Encoder
    from adain.network.squeezenet import SqueezeNet

URL = "https://download.pytorch.org/models/"

FILES = {
    "vgg11": "vgg11-8a719046.pth",
    "vgg13": "vgg13-19584684.pth",
    "vgg16": "vgg16-397923af.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "squeezenet1_1": "squeezenet1_1-b8a52dc0.pth",
}
"""Files of torchvision's ImageNet weights; their names promise digests."""

NETWORKS = tuple(FILES)
"""Names, as torchvision has them, of the networks that can be brought."""


def network_url(name: str) -> str:
    """Return where torchvision has the ImageNet weights of a network of `NETWORKS`."""
    return URL + FILES[name]


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


def check_network(name: str) -> Path:
    """Return the file of a network of `NETWORKS`, once it is found to be here and whole.

    Raises:
        WeightsError: If it was neither downloaded nor imported, or is damaged.
    """
    path = network_path(name)
    if not path.is_file():
        raise WeightsError(
            f"{name} is not here; get it with: adain weights download {name}; or bring "
            f"{path.name} from elsewhere with: adain weights import {name} FILE"
        )
    check_digest(path, url_digest(network_url(name)))
    return path


def load_network(name: str) -> "Encoder | SqueezeNet":
    """Load a network of `NETWORKS` that was downloaded or imported. Raises `WeightsError`."""
    from adain.network.conversion import read_pickle, torchvision_encoder
    from adain.network.squeezenet import SQUEEZENET, SqueezeNet

    tensors = read_pickle(check_network(name))
    if name == SQUEEZENET:
        return SqueezeNet.of(tensors)
    return torchvision_encoder(name, tensors)
