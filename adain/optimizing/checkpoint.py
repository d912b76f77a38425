"""Where a run is: its picture, the result so far and the state of the optimiser."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from adain.optimizing.config import GatysConfig
from adain.optimizing.optimizers import OPTIMIZERS, State


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on as if it had never stopped.

    Attributes:
        scale: Index of the scale.
        iteration: Steps done at it.
        rate: Length of steps; it is halved after a loss that was not finite.
        tensors: `image`, `average` (the result so far), `losses` of the scale, and the state of
            the optimiser.
    """

    scale: int
    iteration: int
    rate: float
    tensors: Mapping[str, Tensor]


def lay_out(tensor: Tensor) -> Tensor:
    """Lay pictures out alike, in a run and from a file: sums depend on the order of their terms."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def begin(scale: int, image: Tensor, state: State, rate: float) -> Checkpoint:
    """Return the point before the first step of a scale."""
    losses = torch.zeros(0, dtype=torch.float64)
    tensors = {"image": image, "average": image, "losses": losses, **_prefixed(state)}
    return Checkpoint(scale, 0, rate, {name: lay_out(value) for name, value in tensors.items()})


def advance(
    point: Checkpoint, loss: float, gradient: Tensor, config: GatysConfig, progress: float
) -> Checkpoint:
    """Return the point after one step of the optimiser."""
    optimizer = OPTIMIZERS[config.optimizer](rate=point.rate)
    tensors = point.tensors
    before = optimizer_state(point)
    image, state = optimizer.step(tensors["image"], loss, gradient, before, progress)
    losses = torch.cat([tensors["losses"], torch.tensor([loss], dtype=torch.float64)])
    # Without its factor the average would lean towards the first picture of the scale.
    decay = config.averaging * (1 - config.averaging**point.iteration)
    decay = decay / (1 - config.averaging ** (point.iteration + 1))
    average = torch.lerp(image, tensors["average"], decay)
    following = {"image": image, "average": average, "losses": losses, **_prefixed(state)}
    following = {name: lay_out(tensor) for name, tensor in following.items()}
    return Checkpoint(point.scale, point.iteration + 1, point.rate, following)


def restore(good: Checkpoint, rate: float) -> Checkpoint:
    """Return a point that begins anew from a good picture, with smaller steps."""
    own = {name: good.tensors[name] for name in ("image", "average", "losses")}
    return Checkpoint(good.scale, good.iteration, rate, own)


def optimizer_state(point: Checkpoint) -> State:
    """Return the state of the optimiser, by its own names."""
    prefix = "optimizer."
    return {
        name.removeprefix(prefix): value
        for name, value in point.tensors.items()
        if name.startswith(prefix)
    }


def _prefixed(state: State) -> State:
    return {f"optimizer.{name}": value for name, value in state.items()}
