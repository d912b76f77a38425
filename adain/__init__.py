"""Repaint any photo in the style of any painting, in one forward pass.

    import adain

    adain.stylize("photo.jpg", "painting.jpg", alpha=0.8).save("painted.png")

The names below load on first use: `import adain` alone imports next to nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Threads of OpenMP that wait for work spin by default. Beside other busy processes a pass then
# takes four to ten times as long; asleep, they cost nothing. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from adain.engine.loading import load_model as load_model
    from adain.engine.model import Model as Model
    from adain.errors import AdainError as AdainError
    from adain.errors import EngineError as EngineError
    from adain.errors import ImageError as ImageError
    from adain.errors import MaskError as MaskError
    from adain.errors import WeightsError as WeightsError
    from adain.imaging.picture import Picture as Picture
    from adain.imaging.pillow import to_image as to_image
    from adain.imaging.reading import load_image as load_image
    from adain.imaging.writing import save_image as save_image
    from adain.painting.library import measure_style as measure_style
    from adain.painting.library import stylize as stylize
    from adain.painting.regions import find_regions as find_regions
    from adain.styles.statistics import StyleStatistics as StyleStatistics
    from adain.styles.statistics import interpolate_styles as interpolate_styles
    from adain.video.library import stylize_frames as stylize_frames

_MODULES = {
    "load_model": "engine.loading",
    "Model": "engine.model",
    "AdainError": "errors",
    "EngineError": "errors",
    "ImageError": "errors",
    "MaskError": "errors",
    "WeightsError": "errors",
    "Picture": "imaging.picture",
    "load_image": "imaging.reading",
    "save_image": "imaging.writing",
    "to_image": "imaging.pillow",
    "measure_style": "painting.library",
    "stylize": "painting.library",
    "find_regions": "painting.regions",
    "StyleStatistics": "styles.statistics",
    "interpolate_styles": "styles.statistics",
    "stylize_frames": "video.library",
}

__all__ = [*_MODULES]


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'adain' has no attribute {name!r}")
    return getattr(import_module(f"adain.{_MODULES[name]}"), name)
