"""The interface of what a run learns."""

from pathlib import Path

from torch import Tensor, nn


class Objective(nn.Module):
    """The aim of a run; `EncoderDistillation` and `DecoderTraining` are two."""

    def forward(self, photos: Tensor, paintings: Tensor) -> dict[str, Tensor]:
        """Return the terms of the loss, with their weighted sum as `loss`.

        Args:
            photos: Crops `(N, 3, S, S)` in [0, 1].
            paintings: The same of paintings.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """Prepare for the last fifth of the run, where the learning rate is small."""

    def evaluate(self) -> tuple[dict[str, float], Tensor]:
        """Return metrics on validation pictures, and a preview `(3, H, W)` in [0, 1]."""
        raise NotImplementedError

    def export(self, folder: Path, facts: dict[str, str]) -> None:
        """Write the weights file into the run's folder."""
        raise NotImplementedError


def convolution_state(name: str, module: nn.Module) -> dict[str, Tensor]:
    """Return a convolution's tensors, computed where the optimiser sees the weight otherwise."""
    assert isinstance(module, nn.Conv2d) and module.bias is not None
    return {f"{name}.weight": module.weight.detach(), f"{name}.bias": module.bias.detach()}
