from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from adain.optimizing.optimizers import (
    OPTIMIZERS,
    Adam,
    Lbfgs,
    Optimizer,
    PyramidAdam,
    PyramidLbfgs,
    State,
)

TARGET = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2


def bowl(image: Tensor, target: Tensor = TARGET) -> tuple[float, Tensor]:
    """A badly conditioned mean over pixels, and its gradient."""
    image = image.detach().requires_grad_()
    blurred = F.avg_pool2d(image - target, 4)
    loss = 0.02 * (image - target).square().mean() + blurred.square().mean()
    (gradient,) = torch.autograd.grad(loss, image)
    return loss.item(), gradient


def descend(
    optimizer: Optimizer, image: Tensor, steps: int, state: Mapping[str, Tensor] | None = None
) -> tuple[list[float], Tensor, Mapping[str, Tensor]]:
    losses, state = [], state or {}
    for step in range(steps):
        loss, gradient = bowl(image)
        losses.append(loss)
        image, state = optimizer.step(image, loss, gradient, state, step / steps)
    return losses, image, state


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_lowers_the_loss_within_the_range_of_pixels(name: str) -> None:
    losses, image, _ = descend(OPTIMIZERS[name](), torch.full_like(TARGET, 0.9), 60)
    assert losses[-1] < 0.1 * losses[0]
    assert image.min() >= 0 and image.max() <= 1


def test_lbfgs_is_the_fastest_on_a_smooth_loss() -> None:
    start = torch.full_like(TARGET, 0.9)
    best = {name: min(descend(OPTIMIZERS[name](), start, 40)[0]) for name in OPTIMIZERS}
    assert min(best, key=lambda name: best[name]) == "lbfgs"
    assert best["lbfgs"] < 1e-3 * best["gradient-descent"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_change_no_argument(name: str) -> None:
    optimizer, image = OPTIMIZERS[name](), torch.full_like(TARGET, 0.9)
    _, image, state = descend(optimizer, image, 3)
    kept = {key: value.clone() for key, value in state.items()}
    before = image.clone()
    loss, gradient = bowl(image)
    first = optimizer.step(image, loss, gradient, state)
    second = optimizer.step(image, loss, gradient, state)
    assert torch.equal(image, before) and torch.equal(first[0], second[0])
    assert all(torch.equal(state[key], kept[key]) for key in kept)


def test_adam_is_that_of_torch() -> None:
    image = torch.full_like(TARGET, 0.5)
    parameter = image.clone().requires_grad_()
    reference = torch.optim.Adam([parameter], lr=0.01, betas=(0.9, 0.99), eps=1e-12)
    for _ in range(5):
        _, parameter.grad = bowl(parameter)
        reference.step()
    _, ours, _ = descend(Adam(0.01), image, 5)
    torch.testing.assert_close(ours, parameter.detach(), rtol=1e-4, atol=1e-5)


def test_a_pyramid_of_one_level_is_adam() -> None:
    image = torch.full_like(TARGET, 0.5)
    _, plain, _ = descend(Adam(), image, 5)
    _, pyramid, _ = descend(PyramidAdam(levels=1, decays=(0.9, 0.99), falling=False), image, 5)
    assert torch.equal(plain, pyramid)


def test_steps_of_a_pyramid_fall_from_twice_the_rate_to_nothing() -> None:
    image = torch.full_like(TARGET, 0.5)
    loss, gradient = bowl(image)

    def length(progress: float, falling: bool = True) -> float:
        optimizer = PyramidAdam(falling=falling)
        step = optimizer.step(image, loss, gradient, {}, progress)[0] - image
        return float(step.norm())

    assert length(0) == pytest.approx(2 * length(0.5))
    assert length(0.5) == pytest.approx(length(0.9, falling=False))
    assert length(1) == 0


def test_a_pyramid_moves_what_pixels_want_together_faster() -> None:
    target, start = torch.full_like(TARGET, 0.9), torch.full_like(TARGET, 0.1)

    def steps(optimizer: Optimizer) -> int:
        image, count = start, 0
        state: State = {}
        while image.mean() < 0.8:
            loss, gradient = bowl(image, target)
            image, state = optimizer.step(image, loss, gradient, state)
            count += 1
        return count

    assert steps(PyramidAdam()) < 0.7 * steps(Adam())


def test_a_first_guess_of_one_level_divides_by_the_gradients_seen() -> None:
    """The first step is the gradient over its own size, so that all pixels move about alike."""
    image = torch.full_like(TARGET, 0.5)
    loss, gradient = bowl(image)
    optimizer = PyramidLbfgs(levels=1, floor=0)
    following, _ = optimizer.step(image, loss, gradient, {})
    torch.testing.assert_close(following, image - optimizer.rate * gradient.sign())


def test_lbfgs_takes_a_step_back_that_raised_the_loss() -> None:
    optimizer, image = Lbfgs(), torch.full_like(TARGET, 0.5)
    loss, gradient = bowl(image)
    tried, state = optimizer.step(image, loss, gradient, {})
    shorter, state = optimizer.step(tried, 10 * loss, gradient, state)
    torch.testing.assert_close(shorter - image, (tried - image) / 4)
    for _ in range(optimizer.retries):
        shorter, state = optimizer.step(shorter, 10 * loss, gradient, state)
    assert not torch.equal(state["image"], image)  # It goes on all the same.


def test_lbfgs_forgets_the_oldest_steps() -> None:
    _, _, state = descend(Lbfgs(history=3), torch.full_like(TARGET, 0.9), 12)
    changes = [name for name in state if name.startswith("change")]
    assert len(changes) == len([name for name in state if name.startswith("slope")]) == 3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_enlarged_state_still_descends(name: str) -> None:
    """The state of a picture helps one of twice its size as it helped the small one."""
    optimizer = OPTIMIZERS[name]()
    _, image, state = descend(optimizer, torch.full_like(TARGET, 0.9), 10)
    large, target = (value.repeat_interleave(2, 2).repeat_interleave(2, 3)
                     for value in (image, TARGET))  # fmt: skip
    state = optimizer.enlarge(state, (16, 16))
    losses = []
    for _ in range(15):
        loss, gradient = bowl(large, target)
        losses.append(loss)
        large, state = optimizer.step(large, loss, gradient, state)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_state_can_be_enlarged(name: str) -> None:
    assert not OPTIMIZERS[name]().enlarge({}, (16, 16))
