"""The training loop: any objective, one or several devices, resumable to the bit.

A run writes into one folder: `checkpoint.pt` (everything needed to go on), `metrics.csv`,
`preview-*.png`, and the weights file that the objective exports. The loop knows nothing of
networks; `adain.training.encoder` and `decoder` say what is learned.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from adain.engine.device import fast_bfloat16
from adain.training.config import TrainingConfig
from adain.training.objective import Objective
from adain.training.optimizers import build_optimizers, one_cycle
from adain.training.run import Run


@dataclass(frozen=True)
class TrainingStep:
    """Losses and times of one step; the argument of the progress callback.

    Attributes:
        losses: Terms of the loss at this step, by name; `loss` is their weighted sum.
        metrics: Results on the validation pictures, at the steps that evaluate.
        skipped: A line for each picture that could not be read.
    """

    step: int
    steps: int
    seconds: float
    learning_rate: float
    losses: dict[str, float]
    metrics: dict[str, float] = field(default_factory=dict)
    skipped: Sequence[str] = ()


class _Batches(Dataset[tuple[Tensor, Tensor, list[str]]]):
    """Photos and paintings of a step, from two datasets that are indexed by step."""

    def __init__(self, photos: Dataset[Any], paintings: Dataset[Any]) -> None:
        self.photos = photos
        self.paintings = paintings

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, list[str]]:
        photos, skipped_photos = self.photos[step]
        paintings, skipped_paintings = self.paintings[step]
        return photos, paintings, skipped_photos + skipped_paintings


def train(
    objective: Objective,
    photos: Dataset[Any],
    paintings: Dataset[Any],
    config: TrainingConfig,
    folder: Path,
    device: torch.device,
    resume: bool = False,
    on_step: Callable[[TrainingStep], None] = lambda step: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Train an objective and leave its weights in `folder`.

    Under `torchrun` each process trains on its own crops and the gradients are averaged; the
    first process alone writes files.

    Args:
        objective: What to learn.
        photos: Item `step` is that step's crops and skipped pictures, as in `CropBatches`.
        paintings: The same for paintings.
        config: How to train.
        folder: The run's folder, which must exist.
        device: Where to train.
        resume: Go on from the folder's checkpoint; the result equals an unbroken run's.
        on_step: Called after each step, in the first process.
        should_stop: Asked after each step; a true answer ends the run with a checkpoint.

    Returns:
        The number of steps done, less than `config.steps` when stopped.

    Raises:
        WeightsError: If the checkpoint is missing, damaged, or of another run.
    """
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.manual_seed(config.seed)
    objective.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = build_optimizers(objective, config)
    schedulers = [one_cycle(optimizer, config) for optimizer in optimizers]
    run = Run(objective, optimizers, schedulers, config, folder)
    step = run.load() if resume else 0
    replica = DistributedDataParallel(objective) if dist.is_initialized() else objective
    batches = DataLoader(
        _Batches(photos, paintings),
        batch_size=None,
        sampler=range(step, config.steps),
        num_workers=config.workers,
        # Its own, or starting to load would advance the checkpointed random state.
        generator=torch.Generator(),
    )
    objective.train()
    settle_at = int(0.8 * config.steps)
    if step > settle_at:
        objective.settle()
    for photo_batch, painting_batch, skipped in batches:
        if step == settle_at:
            objective.settle()
        start = time.perf_counter()
        losses = train_step(replica, optimizers, photo_batch, painting_batch, config, device)
        for scheduler in schedulers:
            scheduler.step()
        step += 1
        seconds = time.perf_counter() - start
        stop = step == config.steps or _any_process(should_stop(), device)
        if rank == 0:
            metrics: dict[str, float] = {}
            if stop or step % config.evaluate_every == 0:
                metrics = run.evaluate(step, losses)
            if stop or step % config.checkpoint_every == 0:
                run.save(step)
            rate = float(schedulers[0].get_last_lr()[0])
            on_step(TrainingStep(step, config.steps, seconds, rate, losses, metrics, skipped))
        if stop:
            break
    return step


def train_step(
    objective: nn.Module,
    optimizers: Sequence[Optimizer],
    photos: Tensor,
    paintings: Tensor,
    config: TrainingConfig,
    device: torch.device,
) -> dict[str, float]:
    """Take one step and return the terms of the loss. Skips the update of a non-finite loss."""
    photos = photos.to(device, memory_format=torch.channels_last)
    paintings = paintings.to(device, memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=_mixed(config.precision, device)):
        losses = objective(photos, paintings)
    for optimizer in optimizers:
        optimizer.zero_grad()
    losses["loss"].backward()
    parameters = [
        p for optimizer in optimizers for g in optimizer.param_groups for p in g["params"]
    ]
    norm = nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
    if torch.isfinite(norm):
        for optimizer in optimizers:
            optimizer.step()
    return {name: value.item() for name, value in losses.items()}


def _any_process(flag: bool, device: torch.device) -> bool:
    """Tell whether the flag is set in any process, so that all of them stop at the same step."""
    if not dist.is_initialized():
        return flag
    flags = torch.tensor(float(flag), device=device)
    dist.all_reduce(flags)
    return flags.item() > 0


def _mixed(precision: str, device: torch.device) -> bool:
    if precision == "auto":
        return fast_bfloat16(device.type)
    return precision == "bfloat16"
