from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import adain
from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.errors import WeightsError
from adain.imaging.filters import gaussian_blur
from adain.network.loading import Network, load_network
from adain.styles.adapter import Adapter
from adain.training import learn as learning
from adain.training.config import Learning
from adain.training.learn import Step, contour_loss, learn, learn_target

CONFIG = Learning(steps=12, batch_size=2, crop=64)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(device="cpu", threads=1)


@pytest.fixture(scope="module")
def network(model: Model) -> Network:
    return load_network(model)


@pytest.fixture(autouse=True)
def threads(one_thread: Iterator[None]) -> None:
    """Sums of several threads may differ in the last bit."""


def photos(step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    coarse = torch.rand(2, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")


def stripes() -> Tensor:
    rows = (torch.arange(96) // 6 % 2).float()
    painting = torch.stack((0.8 * rows + 0.1, 0.3 * rows + 0.1, 0.6 - 0.3 * rows))
    return painting[None, :, :, None].expand(1, 3, 96, 96).contiguous()


def teach(
    network: Network, config: Learning = CONFIG, painting: Tensor | None = None, **more: Any
) -> tuple[Adapter, list[float]]:
    losses: list[float] = []

    def watch(step: Step) -> None:
        losses.append(step.losses["loss"])

    target = learn_target(network.encoder, [stripes() if painting is None else painting])
    arguments: dict[str, Any] = {"on_step": watch} | more
    return learn(network.encoder, network.decoder, target, photos, config, **arguments), losses


def test_what_is_learnt_paints_nearer_to_the_painting(network: Network, model: Model) -> None:
    adapter, losses = teach(network, replace(CONFIG, steps=30))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert adapter.base == model.base and adapter.facts["steps"] == 30
    assert len(adapter.to_bytes()) <= 64_000
    assert adapter.merged(model.weights.decoder).keys() == model.weights.decoder.keys()


def test_contours_stay_those_of_the_plain_pass_and_flats_are_free() -> None:
    photo = torch.full((1, 3, 64, 64), 0.2)
    photo[..., 32:] = 0.8
    noise = 0.2 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    far, near = noise.clone(), noise.clone()
    far[..., 20:44] = near[..., :20] = near[..., 44:] = 0
    plain = 1 - photo  # Other colours than the photo's have the same contours.
    assert contour_loss(plain, plain, photo) < 1e-6
    assert contour_loss(plain + far, plain, photo) < 0.1 * contour_loss(plain + near, plain, photo)
    assert contour_loss(noise, plain[..., :1].expand(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)) == 0


def test_fine_detail_is_that_of_the_plain_pass(
    network: Network, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, painting = photos(0)[0].permute(1, 2, 0).numpy(), stripes()[0].permute(1, 2, 0).numpy()
    style = adain.measure_style(painting, model=model)
    plain = adain.stylize(photo, style, model=model).pixels

    def away(adapter: Adapter) -> tuple[float, float]:
        """Return how far the result is from the plain pass in fine detail, and in the rest."""
        result = adain.stylize(photo, replace(style, adapters=(adapter,)), model=model).pixels
        coarse = gaussian_blur(result - plain, CONFIG.detail)
        return float(abs(result - plain - coarse).mean()), float(abs(coarse).mean())

    config = replace(CONFIG, steps=60)
    fine, coarse = away(teach(network, config)[0])
    monkeypatch.setattr(learning, "PAINTING", 1.0)
    meshed, painted = away(teach(network, config)[0])
    assert fine < 0.9 * meshed and coarse > 0.7 * painted


def test_the_same_seed_learns_the_same(network: Network) -> None:
    first, second, other = (
        teach(network, replace(CONFIG, steps=3, seed=seed))[0] for seed in (1, 1, 2)
    )
    assert first == second != other


def test_a_run_that_was_stopped_goes_on(network: Network) -> None:
    seen: list[int] = []
    stopped, _ = teach(network, should_stop=lambda: True)
    assert stopped.facts["steps"] == 1
    resumed, _ = teach(network, start=stopped, on_step=lambda step: seen.append(step.number))
    assert seen == list(range(2, 13)) and resumed.facts["steps"] == 12


def test_an_end_in_time_lets_the_rate_fall(network: Network) -> None:
    shares: list[float] = []
    config = replace(CONFIG, steps=100_000, seconds=1.0)
    adapter, _ = teach(network, config, on_step=lambda step: shares.append(step.share))
    assert adapter.facts["steps"] < 100 and shares[-1] > 0.5 and shares == sorted(shares)


@pytest.mark.parametrize(
    "painting",
    [torch.full((1, 3, 64, 64), 0.4), torch.zeros(1, 3, 32, 32), torch.rand(1, 3, 40, 200)],
    ids=["one colour", "black and tiny", "noise"],
)
def test_hard_paintings_leave_all_numbers_finite(network: Network, painting: Tensor) -> None:
    adapter, losses = teach(network, replace(CONFIG, steps=4), painting)
    assert np.isfinite(losses).all()
    assert all(np.isfinite(value).all() for value in adapter.tensors.values())


def test_where_the_loss_is_not_finite_the_last_good_state_stays(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = teach(network, replace(CONFIG, steps=12), should_stop=iter((False, True)).__next__)[0]
    count = iter(range(100))
    losses = learning._losses

    def broken(*arguments: Any) -> dict[str, Tensor]:
        terms = losses(*arguments)
        return {**terms, "loss": terms["loss"] * (1.0 if next(count) < 2 else float("nan"))}

    monkeypatch.setattr(learning, "_losses", broken)
    adapter, _ = teach(network)
    assert adapter.facts["steps"] == 2 and adapter.facts["ended"] == "not finite"
    assert adapter == whole


def test_nothing_is_learnt_where_not_even_the_first_step_is_finite(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = learning._losses

    def broken(*arguments: Any) -> dict[str, Tensor]:
        return {"loss": losses(*arguments)["loss"] * float("nan")}

    monkeypatch.setattr(learning, "_losses", broken)
    with pytest.raises(WeightsError, match="from the first step"):
        teach(network)


def test_it_stops_where_nothing_improves_any_more(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "PATIENCE", 3)
    still = replace(CONFIG, steps=1000, learning_rate=1e-9)
    adapter, _ = teach(network, still)
    assert adapter.facts["ended"] == "settled" and adapter.facts["steps"] < 30
    assert teach(network, replace(CONFIG, steps=2))[0].facts["ended"] == "done"


def test_a_start_of_another_decoder_is_refused(network: Network) -> None:
    with pytest.raises(WeightsError, match="was learnt for"):
        teach(network, start=Adapter("0123456789abcdef", {}))


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"seconds": 0.0}, {"crop": 100}, {"strength": 99.0}], ids=str
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).replace("seconds", "time")):
        Learning(**wrong)
