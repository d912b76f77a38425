"""Learn a painting: fine-tune the decoder for it in minutes, by an adapter of low rank.

Johnson et al.'s network for one style (ECCV 2016), and Dumoulin et al.'s many styles in one network
(ICLR 2017), but starting from a decoder that paints already. The losses see the crops of a step
as one picture, for a crop need not hold all of the painting.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from adain.config import LOSS_LAYERS, STYLE_LAYERS
from adain.errors import WeightsError
from adain.network.decoder import Decoder
from adain.network.encoder import Encoder
from adain.network.losses import (
    NormalDistribution,
    content_loss,
    total,
    wasserstein_loss,
)
from adain.network.moments import Moments, blend_moments, measure_moments
from adain.network.pixel_losses import luma, total_variation_loss
from adain.network.statistics import (
    FeatureStatistics,
    color_moments,
    layer_statistics,
    normalization_maps,
    recolor_as,
    style_vector,
)
from adain.quality.metrics import WINDOW, similarity_map
from adain.styles.adapter import PROJECTION_RANK, RANK, Adapter, decoder_digest
from adain.styles.colors import ColorDistribution
from adain.styles.statistics import EPS
from adain.training.clarity import blur, find_contours, pixel_loss
from adain.training.config import Learning

LEARNING = Learning()

STYLE_SHARES = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.2, "relu4_1": 1.5, "relu5_1": 1.0}
"""Weight of each layer in the style loss: strokes and shapes matter more than grain."""

CONTOUR_SLOPE, CONTOUR_WIDTH = 0.03, 5
"""Slope of a photo's luminance that is a contour, and its width in pixels."""

MARGIN = WINDOW // 2
"""Pixels of the border that structural similarity does not see."""

PAINTING = 0.7
"""Share of the steps that go towards the painting; the others make fine detail clear again."""

WARM_UP, COOL_DOWN = 0.05, 0.4
"""Shares of the steps of each part in which the learning rate rises, and falls."""

FALLING = PAINTING * (1 - COOL_DOWN)
"""Share of the steps from which the rate falls first."""

FIRST_CHECKPOINT, CHECKPOINT_EVERY = 5, 20
"""Steps, about as many seconds."""

PATIENCE = 150
"""Steps without a better loss after which the learning rate falls, to end."""


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
        number: From 1.
        share: Share of the run that is done, in [0, 1].
        losses: Terms of the loss; `loss` is their weighted sum.
    """

    number: int
    share: float
    losses: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Target:
    """A painting to learn, or several as one hand.

    Attributes:
        style: Statistics that the pass gets, at `relu1_1 ... relu4_1`.
        embedded: Statistics of the embedded features of all `LOSS_LAYERS`.
        distributions: Normal distributions of the features at `LOSS_LAYERS`.
        colors: Mean and covariance of the colours.
    """

    style: dict[str, FeatureStatistics]
    embedded: dict[str, FeatureStatistics]
    distributions: dict[str, NormalDistribution]
    colors: ColorDistribution


class LowRank(nn.Module):
    """The differences of an `Adapter`, to be trained."""

    def __init__(self, decoder: Decoder, generator: torch.Generator) -> None:
        super().__init__()
        self.tensors = nn.ParameterDict()
        self._keys: dict[str, str] = {}
        for name, value in decoder.named_parameters():
            if name.startswith("modulation."):
                continue
            if value.ndim == 1:
                self._add(name, torch.zeros_like(value))
                continue
            outputs, inputs = value.shape[0], value[0].numel()
            rank = min(outputs, RANK if value.shape[2] > 1 else PROJECTION_RANK)
            if rank * (outputs + inputs) < outputs * inputs:
                down = torch.randn(rank, inputs, generator=generator) / math.sqrt(inputs)
                self._add(f"{name}.up", value.new_zeros(outputs, rank))
                self._add(f"{name}.down", down.to(value))
            else:
                self._add(name, torch.zeros_like(value))
            self._add(f"{name}.scale", value.new_zeros(outputs))

    def _add(self, name: str, value: Tensor) -> None:
        key = name.replace(".", "/")  # Keys of modules have no dots.
        self._keys[name] = key
        self.tensors[key] = nn.Parameter(value)

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights with the differences added; gradients reach these alone."""
        get = {name: self.tensors[key] for name, key in self._keys.items()}
        result = {}
        for name, value in weights.items():
            changed = value
            if name in get:
                changed = changed + get[name]
            if f"{name}.up" in get:
                change = get[f"{name}.up"] @ get[f"{name}.down"]
                changed = changed + change.view_as(value)
            if f"{name}.scale" in get:
                scale = get[f"{name}.scale"].view(-1, *(1,) * (value.ndim - 1))
                changed = changed + scale * value
            result[name] = changed
        return result

    def to_arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return the tensors of an `Adapter`, as precise as a file of it."""
        return {
            name: self.tensors[key].detach().half().float().cpu().numpy().copy()
            for name, key in self._keys.items()
        }

    def take(self, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Go on from the tensors of an `Adapter`. Raises `WeightsError` if they do not fit."""
        with torch.no_grad():
            for name, key in self._keys.items():
                given = tensors.get(name)
                if given is None or given.shape != tuple(self.tensors[key].shape):
                    raise WeightsError(f"the adapter has no fitting {name}; learn it anew")
                self.tensors[key].copy_(torch.from_numpy(given))


@torch.no_grad()
def learn_target(encoder: Encoder, pictures: Sequence[Tensor]) -> Target:
    """Measure what is to be learnt.

    Args:
        encoder: With heads for losses.
        pictures: Paintings `(1, 3, h, w)`, RGB in [0, 1], sides from 16 pixels; each counts alike.
    """
    cut = [p[:, :, : p.shape[2] // 8 * 8, : p.shape[3] // 8 * 8] for p in pictures]
    cut = [each.contiguous(memory_format=torch.channels_last) for each in cut]
    raw: list[dict[str, Moments]] = []
    wide: list[dict[str, tuple[Tensor, Tensor]]] = []
    colors = []
    for picture in cut:
        features = encoder(picture, LOSS_LAYERS)
        raw.append({layer: measure_moments(value) for layer, value in features.items()})
        embedded = layer_statistics(encoder.embed(features))
        wide.append({k: (v.mean, v.mean**2 + v.std**2) for k, v in embedded.items()})
        colors.append(color_moments(picture).distribution())
    shares = [1.0] * len(cut)
    moments = {k: blend_moments([each[k] for each in raw], shares) for k in LOSS_LAYERS}

    def pooled(layer: str) -> FeatureStatistics:
        mean, second = (torch.stack(x).mean(0) for x in zip(*(w[layer] for w in wide), strict=True))
        return FeatureStatistics(mean, (second - mean**2).clamp_min(1e-8).sqrt())

    def narrow(layer: str) -> FeatureStatistics:
        variance = moments[layer].covariance.diagonal().clamp_min(0)
        return FeatureStatistics(moments[layer].mean[None], (variance[None] + EPS).sqrt())

    return Target(
        {layer: narrow(layer) for layer in STYLE_LAYERS},
        {layer: pooled(layer) for layer in LOSS_LAYERS},
        {layer: NormalDistribution.of(value) for layer, value in moments.items()},
        ColorDistribution.from_moments(
            np.mean([each.mean for each in colors], 0),
            np.mean([each.products for each in colors], 0),
        ),
    )


def learn(
    encoder: Encoder,
    decoder: Decoder,
    target: Target,
    photos: Callable[[int], Tensor],
    config: Learning = LEARNING,
    *,
    start: Adapter | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    on_checkpoint: Callable[[Adapter], None] = lambda adapter: None,
    should_stop: Callable[[], bool] = lambda: False,
    mixed: bool = False,
) -> Adapter:
    """Fine-tune a decoder for a painting.

    Losses on features teach strokes and colours, but leave a mesh of single pixels and weak
    contours; so the last steps teach it to paint the fine detail of the plain pass in them.

    Args:
        encoder: Frozen, with heads for losses.
        decoder: Frozen; its weights are the base.
        target: From `learn_target`.
        photos: Gives the crops `(N, 3, S, S)` of a step.
        config: How to learn.
        start: Adapter to go on from, after the steps that its facts tell.
        on_step: Told what each step did.
        on_checkpoint: Gets the adapter so far, every `CHECKPOINT_EVERY` steps.
        should_stop: Asked after each step; a true answer keeps what there is.
        mixed: Whether the network runs in bfloat16.

    Returns:
        The last adapter whose numbers were finite. Its facts tell `steps` and `seconds`, those of
        `start` among them, the last `losses`, and how it `ended`: `done`, `settled` where nothing
        improved any more, `stopped`, `not finite`; empty in a checkpoint.

    Raises:
        WeightsError: If `start` belongs to another decoder, or not even the first step is finite.
    """
    base = {name: value.detach() for name, value in decoder.named_parameters()}
    digest = decoder_digest(decoder_arrays(decoder))
    low_rank = LowRank(decoder, torch.Generator().manual_seed(config.seed))
    if start is not None:
        if start.base != digest:
            raise WeightsError(f"the adapter was learnt for decoder {start.base}, not {digest}")
        low_rank.take(start.tensors)
    optimizer = torch.optim.Adam(low_rank.parameters(), config.learning_rate, betas=(0.9, 0.99))
    schedule = _Schedule(config)
    done, before, losses = _so_far(start)
    painted: dict[str, Tensor] | None = None
    ended = ""

    def learnt() -> Adapter:
        seconds = round(before + schedule.seconds, 1)
        facts = {"steps": done, "ended": ended, "seconds": seconds, "losses": losses}
        return Adapter(digest, low_rank.to_arrays(), facts)

    while (share := schedule.share(done)) < 1:
        optimizer.param_groups[0]["lr"] = config.learning_rate * _rate(share)
        weights = low_rank.merged(base)
        crops = _Crops.of(encoder, decoder, target, photos(done), mixed)
        if share < PAINTING:
            terms = _losses(encoder, crops, weights, target, config)
        else:
            painted = painted or {name: value.detach() for name, value in weights.items()}
            terms = {"loss": _detail_loss(crops, weights, painted, config.detail)}
        optimizer.zero_grad()
        terms["loss"].backward()
        norm = nn.utils.clip_grad_norm_(low_rank.parameters(), config.gradient_clip)
        if not torch.isfinite(norm):
            ended = "not finite"  # What was learnt before is good.
            break
        optimizer.step()
        done += 1
        if painted is None:
            losses = {name: float(value.detach()) for name, value in terms.items()}
            schedule.watch(done, losses["loss"])
        else:
            losses = {**losses, "detail": float(terms["loss"].detach())}
        on_step(Step(done, min(1.0, schedule.share(done)), losses))
        if done % CHECKPOINT_EVERY == FIRST_CHECKPOINT:
            on_checkpoint(learnt())
        if should_stop():
            ended = "stopped"
            break
    else:
        ended = "settled" if schedule.is_settled else "done"
    if not done:
        raise WeightsError("its loss is not finite from the first step on; nothing was learnt")
    return learnt()


def _so_far(start: Adapter | None) -> tuple[int, float, dict[str, float]]:
    """Return the steps, the seconds and the losses that a run goes on from."""
    facts = {} if start is None else start.facts
    steps, seconds = int(facts.get("steps", 0)), float(facts.get("seconds", 0))
    return steps, seconds, dict(facts.get("losses", {}))


class _Schedule:
    """How far a run is, by its steps and its time; one that gains no more is cut short."""

    def __init__(self, config: Learning) -> None:
        self._began, self._limit, self._steps = time.monotonic(), config.seconds, config.steps
        self._loss, self._best, self._best_step = math.nan, math.inf, 0
        self.is_settled = False

    @property
    def seconds(self) -> float:
        """Return how long it runs."""
        return time.monotonic() - self._began

    def share(self, done: int) -> float:
        """Return the share of the run that is done after so many steps."""
        return max(done / self._steps, self.seconds / self._limit if self._limit else 0)

    def watch(self, done: int, loss: float) -> None:
        """Take the loss of a step; begin to end where none was better for `PATIENCE` steps."""
        self._loss = loss if math.isnan(self._loss) else 0.95 * self._loss + 0.05 * loss
        if self._loss < 0.998 * self._best:
            self._best, self._best_step = self._loss, done
        elif done - self._best_step > PATIENCE and self.share(done) < FALLING:
            self._steps = round(done / FALLING)
            self.is_settled = True


def decoder_arrays(decoder: Decoder) -> dict[str, np.ndarray[Any, Any]]:
    """Return the trained weights of a decoder by name, for `decoder_digest`."""
    return {k: v.detach().float().cpu().numpy() for k, v in decoder.named_parameters()}


def _rate(share: float) -> float:
    """Return the part of the peak learning rate at a share of the run: it peaks in each part."""
    within = share / PAINTING if share < PAINTING else (share - PAINTING) / (1 - PAINTING)
    if within < WARM_UP:
        return (within + 0.01) / (WARM_UP + 0.01)
    if within < 1 - COOL_DOWN:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (within - 1 + COOL_DOWN) / COOL_DOWN))


@dataclass(frozen=True, eq=False)
class _Crops:
    """The crops of a step.

    Attributes:
        photos: Shape `(N, 3, S, S)`.
        plain: What the base makes of them.
        mixed: Whether the network runs in bfloat16.
    """

    photos: Tensor
    plain: Tensor
    mixed: bool
    _decoder: Decoder
    _seen: tuple[Any, ...]

    @classmethod
    @torch.no_grad()
    def of(
        cls, encoder: Encoder, decoder: Decoder, target: Target, photos: Tensor, mixed: bool
    ) -> "_Crops":
        """Prepare crops of photos for a decoder that paints a style."""
        photos = photos.contiguous(memory_format=torch.channels_last)
        recolored = recolor_as(photos, target.colors)
        with torch.autocast(photos.device.type, torch.bfloat16, enabled=mixed):
            features = encoder(recolored, STYLE_LAYERS)
            maps = normalization_maps(features, target.style, max_gain=decoder.max_gain)
            seen = (features, maps, decoder.maps(style_vector(target.style)))
            plain = decoder(*seen).float()
        return cls(photos, plain, mixed, decoder, seen)

    def paint(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Return what the decoder makes of them with other weights."""
        with torch.autocast(self.photos.device.type, torch.bfloat16, enabled=self.mixed):
            painted: Tensor = functional_call(self._decoder, dict(weights), self._seen)
        return painted.float()


def _losses(
    encoder: Encoder,
    crops: _Crops,
    weights: Mapping[str, Tensor],
    target: Target,
    config: Learning,
) -> dict[str, Tensor]:
    """Return the terms of the loss of crops, and their weighted sum."""
    photos, result = crops.photos, crops.paint(weights)
    with torch.autocast(photos.device.type, torch.bfloat16, enabled=crops.mixed):
        with torch.no_grad():
            content = encoder.embed(encoder(photos, ("relu4_1",)))["relu4_1"]
        painted = encoder(result, LOSS_LAYERS)
        thinned = {**painted, "relu1_1": painted["relu1_1"][:, :, ::2, ::2]}
        embedded = encoder.embed(thinned)
    terms = {
        "content": content_loss(embedded["relu4_1"].float(), content.float()),
        "style": total(
            share * _style_term(embedded[layer].float(), target.embedded[layer])
            for layer, share in STYLE_SHARES.items()
        ),
        "covariance": total(
            wasserstein_loss(measure_moments(_as_one(painted[layer].float())), distribution)
            / distribution.covariance.trace()
            for layer, distribution in target.distributions.items()
        )
        / len(target.distributions),
        "contours": contour_loss(result, crops.plain, photos),
        "tv": total_variation_loss(result, guide=photos),
    }
    loss = total(
        getattr(config, f"{name}_weight")
        * (config.strength if name in ("style", "covariance") else 1.0)
        * value
        for name, value in terms.items()
    )
    return {"loss": loss, **terms}


def _detail_loss(
    crops: _Crops, weights: Mapping[str, Tensor], painted: Mapping[str, Tensor], detail: float
) -> Tensor:
    """Return how far crops are from those by `painted` with the fine detail of the plain pass."""
    with torch.no_grad():
        wanted = crops.plain + blur(crops.paint(painted) - crops.plain, detail)
    return pixel_loss(crops.paint(weights), wanted)


def contour_loss(result: Tensor, plain: Tensor, photos: Tensor) -> Tensor:
    """Return how far a result is from the plain pass at the contours of the photo, in [0, 2].

    What is painted stays clear there; anywhere else strokes are free. Structural dissimilarity.

    Args:
        result: Shape `(N, 3, H, W)`, RGB in [0, 1]; and so are the others.
        plain: What the base makes of the photos.
        photos: They say where contours are.
    """
    with torch.no_grad():
        contours = find_contours(luma(photos), CONTOUR_SLOPE)
        near = F.max_pool2d(contours, CONTOUR_WIDTH, 1, CONTOUR_WIDTH // 2)
        share = near[:, 0, MARGIN:-MARGIN, MARGIN:-MARGIN]
    return (share * (1 - similarity_map(result, plain))).sum() / share.sum().clamp_min(1)


def _style_term(values: Tensor, target: FeatureStatistics) -> Tensor:
    """Return how far the statistics of a batch, as one picture, are from a painting's."""
    mean = values.mean((0, 2, 3), keepdim=True)
    variance = (values - mean).square().mean((0, 2, 3))
    return F.mse_loss(mean.flatten(), target.mean[0]) + F.mse_loss(
        (variance + EPS).sqrt(), target.std[0]
    )


def _as_one(values: Tensor) -> Tensor:
    """Return a batch `(N, C, H, W)` as one picture `(1, C, N * H, W)`."""
    return values.transpose(0, 1).flatten(1, 2)[None]
