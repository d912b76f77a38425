"""Repaint any photo in the style of any painting, in one forward pass.

    from adain import load_image, load_model, to_image

    model = load_model()
    style = model.measure_style(load_image("painting.jpg").pixels)
    photo = load_image("photo.jpg")
    to_image(model.stylize(photo.pixels, style, alpha=0.8)).save("painted.png")

The names below load on first use: `import adain` alone does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adain.device import choose_device as choose_device
    from adain.errors import AdainError as AdainError
    from adain.errors import ImageError as ImageError
    from adain.errors import WeightsError as WeightsError
    from adain.images import Picture as Picture
    from adain.images import load_image as load_image
    from adain.images import save_image as save_image
    from adain.images import to_image as to_image
    from adain.model import StyleTransferModel as StyleTransferModel
    from adain.normalization import StyleStatistics as StyleStatistics
    from adain.normalization import interpolate_styles as interpolate_styles
    from adain.weights import load_model as load_model

_MODULES = {
    "choose_device": "device",
    "AdainError": "errors",
    "ImageError": "errors",
    "WeightsError": "errors",
    "Picture": "images",
    "load_image": "images",
    "save_image": "images",
    "to_image": "images",
    "StyleTransferModel": "model",
    "StyleStatistics": "normalization",
    "interpolate_styles": "normalization",
    "load_model": "weights",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'adain' has no attribute {name!r}")
    return getattr(import_module(f"adain.{_MODULES[name]}"), name)
