"""Errors that the library raises.

AdainError
├── ImageError     a picture that cannot be read, decoded, accepted or written
│   ├── ImageTooLargeError   a picture beyond a limit
│   └── ImageExistsError     a file that is there already
├── EngineError    what computes cannot be loaded or used on this machine
├── OptimizationError   a picture that no optimisation can improve
├── TorchMissing   what needs torch, where it is not installed
└── WeightsError   a weights file that is missing, damaged, altered or of another kind

The text of every error says what failed, with which file or value, and what to do. Mistakes of
the calling program (a wrong shape, a value out of range) raise ValueError.
"""


def how_to_install(extra: str) -> str:
    """Return the command that brings an extra of this package."""
    return f"pip install 'adain[{extra}]', in a clone '.[{extra}]'"


class AdainError(Exception):
    """Base of every error that the library raises on purpose."""


class ImageError(AdainError):
    """A picture cannot be read, decoded, accepted or written."""


class ImageTooLargeError(ImageError):
    """A picture exceeds a limit; it was refused before its pixels were decoded."""


class ImageExistsError(ImageError):
    """The file to write exists already; it was left as it is."""


class EngineError(AdainError):
    """ONNX Runtime or torch cannot be loaded or used on this machine."""


class OptimizationError(AdainError):
    """The loss of a picture is not finite, and it never was."""


class TorchMissing(AdainError):
    """The work needs torch, which is not installed."""


class WeightsError(AdainError):
    """A weights file is missing, damaged, altered or of another kind."""


class MaskError(AdainError):
    """A mask does not fit the photo or the styles."""
