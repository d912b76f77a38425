"""Optimisers of one picture: pure steps on a state that can be saved and enlarged.

A step takes the picture, its loss and gradient, the state (named tensors, at first none) and the
share of all steps that are done, and returns the next picture with the next state. One evaluation
of the loss makes one step.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from adain.optimizing import config

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class GradientDescent:
    """Steps along the gradient; the first one sets their length, for comparison with others.

    Attributes:
        rate: Root mean square of the first step, in parts of the range of a pixel.
    """

    rate: float = 0.02

    def step(
        self, image: Tensor, loss: float, gradient: Tensor, state: State, progress: float = 0
    ) -> tuple[Tensor, State]:
        """Return the next picture in [0, 1] and the next state."""
        # A mean over positions spreads over more pixels as a picture grows.
        gradient = gradient * gradient.numel()
        factor = state.get("factor", self.rate / _rms(gradient))
        return (image - factor * gradient).clamp(0, 1), {"factor": factor}

    def enlarge(self, state: State, size: tuple[int, int]) -> State:
        """Return the state for a picture of another height and width."""
        return state


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba, "Adam: a method for stochastic optimization" (ICLR 2015).

    Attributes:
        rate: About the length of a step, in parts of the range of a pixel.
        decays: Of the averages of the gradient and of its square.
        levels: Sizes that a step is the sum of: the picture's, half of it, a quarter, ...
        falling: Whether the length falls evenly, from twice `rate` to nothing.
    """

    rate: float = 0.02
    decays: tuple[float, float] = (0.9, 0.99)
    levels: int = 1
    falling: bool = False

    def step(
        self, image: Tensor, loss: float, gradient: Tensor, state: State, progress: float = 0
    ) -> tuple[Tensor, State]:
        """Return the next picture in [0, 1] and the next state."""
        first, second = self.decays
        steps = state.get("steps", torch.zeros((), dtype=torch.float64)) + 1
        following: dict[str, Tensor] = {"steps": steps}
        change = torch.zeros_like(image)
        for level, size in enumerate(_sizes(image.shape[2], image.shape[3], self.levels)):
            # The gradient of the pixels of a smaller picture that is added to this one.
            own = _shrink(gradient, size)
            mean = torch.lerp(own, state.get(f"mean{level}", torch.zeros_like(own)), first)
            square = torch.lerp(
                own.square(), state.get(f"square{level}", torch.zeros_like(own)), second
            )
            following |= {f"mean{level}": mean, f"square{level}": square}
            root = (square / (1 - second ** steps.item())).sqrt().clamp_min(1e-30)
            direction = mean / (1 - first ** steps.item()) / root
            change = change + _resize(direction, (image.shape[2], image.shape[3]))
        rate = self.rate * (2 - 2 * progress if self.falling else 1)
        return (image - rate / self.levels**0.5 * change).clamp(0, 1), following

    def enlarge(self, state: State, size: tuple[int, int]) -> State:
        """Return the state for a picture of another height and width."""
        if not state:
            return state
        larger: dict[str, Tensor] = {"steps": state["steps"]}
        for level, own in enumerate(_sizes(*size, self.levels)):
            mean, square = state[f"mean{level}"], state[f"square{level}"]
            shrinkage = mean[0, 0].numel() / (own[0] * own[1])
            larger[f"mean{level}"] = _resize(mean, own) * shrinkage
            larger[f"square{level}"] = _resize(square, own) * shrinkage**2
        return larger


@dataclass(frozen=True)
class PyramidAdam(Adam):
    """Adam on a picture that is the sum of pictures of several sizes.

    Kolkin et al. (CVPR 2019) optimise a Laplacian pyramid so. What many pixels want together
    moves as fast as what each wants alone, and long steps at first lead to where short ones do
    not: after 150 steps the loss was that of 500 of plain Adam, and lower than that of L-BFGS.
    """

    decays: tuple[float, float] = (0.9, 0.9)
    levels: int = 4
    falling: bool = True


@dataclass(frozen=True)
class Lbfgs:
    """Limited-memory BFGS (Nocedal and Wright, "Numerical optimization", algorithm 7.5).

    Departures: a step is clamped to [0, 1], its length is bounded, and there is no line search.
    A step that raised the loss is taken back and tried at a quarter of its length instead, which
    costs an evaluation only where it happens.

    Attributes:
        rate: Root mean square of the first step, in parts of the range of a pixel.
        history: Steps that the curvature is known from.
        bound: Largest root mean square of a step.
        rise: Part of the loss by which a step may raise it.
        retries: How often a step is shortened before it is taken all the same.
    """

    rate: float = 0.02
    history: int = 10
    bound: float = 0.1
    rise: float = 0.05
    retries: int = 4

    def step(
        self, image: Tensor, loss: float, gradient: Tensor, state: State, progress: float = 0
    ) -> tuple[Tensor, State]:
        """Return the next picture in [0, 1] and the next state."""
        retries = int(state.get("retries", torch.zeros(())))
        if "image" in state:
            if loss > (1 + self.rise) * state["loss"].item() and retries < self.retries:
                shorter = state["direction"] / 4
                again = {"direction": shorter, "retries": torch.tensor(retries + 1.0)}
                return (state["image"] + shorter).clamp(0, 1), {**state, **again}
            state = self._remember(state, image - state["image"], gradient - state["gradient"])
        state = {**state, **self._measure(gradient, state)}
        direction = self._direction(gradient, state)
        here = {
            "image": image,
            "loss": torch.tensor(loss, dtype=torch.float64),
            "gradient": gradient,
            "direction": direction,
            "retries": torch.zeros(()),
        }
        return (image + direction).clamp(0, 1), {**_kept(state), **here}

    def enlarge(self, state: State, size: tuple[int, int]) -> State:
        """Return the state for a picture of another height and width."""
        pairs = {name: _resize(value, size) for name, value in _pairs(state).items()}
        return {
            # Gradients of a mean over positions shrink as their number grows.
            name: value * state[name][0, 0].numel() / value[0, 0].numel()
            if name.startswith("slope")
            else value
            for name, value in pairs.items()
        }

    def _remember(self, state: State, change: Tensor, slope: Tensor) -> State:
        """Add what a step told about the curvature; forget the oldest step."""
        curvature = torch.sum(change * slope)
        if not curvature > 1e-8 * change.norm() * slope.norm():
            return state
        names = sorted(name for name in state if name.startswith("change"))
        kept = {name: value for name, value in state.items()}
        if len(names) >= self.history:
            oldest = names[0].removeprefix("change")
            kept = {name: v for name, v in kept.items() if not name.endswith(oldest)}
        number = int(names[-1].removeprefix("change")) + 1 if names else 0
        return {**kept, f"change{number:06d}": change, f"slope{number:06d}": slope}

    def _direction(self, gradient: Tensor, state: State) -> Tensor:
        names = sorted(name for name in state if name.startswith("change"))
        pairs = [(state[name], state[name.replace("change", "slope")]) for name in names]
        curvatures = [torch.sum(change * slope) for change, slope in pairs]
        direction = -gradient
        shares: list[Tensor] = []
        for (change, slope), curvature in zip(reversed(pairs), reversed(curvatures), strict=True):
            shares.append(torch.sum(change * direction) / curvature)
            direction = direction - shares[-1] * slope
        direction = self._scale(direction, state)
        if pairs:
            slope = pairs[-1][1]
            direction = direction * (curvatures[-1] / torch.sum(slope * self._scale(slope, state)))
        for (change, slope), curvature, share in zip(
            pairs, curvatures, reversed(shares), strict=True
        ):
            direction = direction + (share - torch.sum(slope * direction) / curvature) * change
        if not pairs or not torch.sum(direction * gradient) < 0:
            direction = -self._scale(gradient, state)
            return direction * (self.rate / _rms(direction))
        return direction * (self.bound / _rms(direction)).clamp(max=1)

    def _measure(self, gradient: Tensor, state: State) -> State:
        """Return what `_scale` needs to know of the gradients so far."""
        return {}

    def _scale(self, slope: Tensor, state: State) -> Tensor:
        """Apply the first guess of the inverse of the curvature, but for a factor."""
        return slope


@dataclass(frozen=True)
class PyramidLbfgs(Lbfgs):
    """L-BFGS whose first guess of the curvature is the step of Adam on several sizes.

    Where gradients are large, so is the curvature; and what many pixels want together is as easy
    as what each wants alone. The history of steps then tells what this guess does not know.

    Attributes:
        levels: As for `Adam`.
        decay: Of the average of squared gradients.
        floor: Added to their roots, in parts of the mean root.
    """

    levels: int = 4
    decay: float = 0.9
    floor: float = 0.1

    def enlarge(self, state: State, size: tuple[int, int]) -> State:
        """Return the state for a picture of another height and width."""
        if not state:
            return state
        larger = {**super().enlarge(state, size), "steps": state["steps"]}
        for level, own in enumerate(_sizes(*size, self.levels)):
            square = state[f"square{level}"]
            shrinkage = square[0, 0].numel() / (own[0] * own[1])
            larger[f"square{level}"] = _resize(square, own) * shrinkage**2
        return larger

    def _measure(self, gradient: Tensor, state: State) -> State:
        steps = state.get("steps", torch.zeros((), dtype=torch.float64)) + 1
        following: dict[str, Tensor] = {"steps": steps}
        share = (1 - self.decay) / (1 - self.decay ** steps.item())
        for level, size in enumerate(_sizes(gradient.shape[2], gradient.shape[3], self.levels)):
            square = _shrink(gradient, size).square()
            before = state.get(f"square{level}", square)
            following[f"square{level}"] = torch.lerp(before, square, share)
        return following

    def _scale(self, slope: Tensor, state: State) -> Tensor:
        whole = (slope.shape[2], slope.shape[3])
        result = torch.zeros_like(slope)
        for level, size in enumerate(_sizes(*whole, self.levels)):
            root = state[f"square{level}"].sqrt()
            root = (root + self.floor * root.mean()).clamp_min(1e-30)
            result = result + _resize(_shrink(slope, size) / root, whole)
        return result


Optimizer = GradientDescent | Adam | Lbfgs

_CLASSES = (PyramidAdam, PyramidLbfgs, Lbfgs, Adam, GradientDescent)

OPTIMIZERS: Mapping[str, type[Optimizer]] = dict(zip(config.OPTIMIZERS, _CLASSES, strict=True))


def _pairs(state: State) -> State:
    return {name: v for name, v in state.items() if name.startswith(("change", "slope"))}


def _kept(state: State) -> State:
    """Return what outlasts a step: pairs, and what the scale of slopes is measured by."""
    names = ("change", "slope", "square", "steps")
    return {name: value for name, value in state.items() if name.startswith(names)}


def _sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    return [(max(1, height >> level), max(1, width >> level)) for level in range(levels)]


def _rms(tensor: Tensor) -> Tensor:
    return tensor.square().mean().sqrt().clamp_min(1e-30)


def _shrink(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    return tensor if tensor.shape[2:] == size else F.interpolate(tensor, size, mode="area")


def _resize(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(tensor.shape[2:]) == size:
        return tensor
    return F.interpolate(tensor, size, mode="bilinear", align_corners=False)
