"""A clear error from all that needs torch, where it is not installed."""

from adain.errors import TorchMissing, how_to_install


def require_torch(what: str) -> None:
    """Make sure that torch can be imported.

    Args:
        what: What needs it, as the error begins.

    Raises:
        TorchMissing: If it is not installed.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise TorchMissing(f"{what} needs PyTorch; run: {how_to_install('torch')}") from error
