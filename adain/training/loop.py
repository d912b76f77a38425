"""The training loop: any objective, one or several devices, resumable to the bit.

A run writes into one folder: `checkpoint.pt` (everything needed to go on), `metrics.csv`,
`preview-*.png`, and the weights file that the objective exports. The loop knows nothing of
networks; `adain.training.objectives` says what is learned.
"""

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrize
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset

from adain.engine.device import fast_bfloat16
from adain.errors import WeightsError
from adain.files import new_file
from adain.imaging.pillow import to_image
from adain.imaging.writing import save_image

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class TrainingConfig:
    """How to train, whatever is trained.

    Attributes:
        steps: Optimiser steps of the whole run; the learning rate's cycle ends there.
        batch_size: Crops of each kind (photos, paintings) in a step, on each device.
        crop: Side of a crop in pixels.
        learning_rate: Peak of Adam's one-cycle schedule.
        matrix_learning_rate: The same for the hidden convolutions, which Muon optimises.
        gradient_clip: Largest norm of the gradient.
        seed: Decides the first weights and every crop.
        precision: `float32`, `bfloat16` (mixed), or `auto`: bfloat16 where the
            device is fast at it.
        checkpoint_every: Steps between checkpoints.
        evaluate_every: Steps between evaluations with a preview.
        workers: Processes that decode pictures; 0 decodes in the training process.
    """

    steps: int
    batch_size: int = 8
    crop: int = 160
    learning_rate: float = 2e-3
    matrix_learning_rate: float = 1e-2
    gradient_clip: float = 2.0
    seed: int = 0
    precision: str = "auto"
    checkpoint_every: int = 500
    evaluate_every: int = 500
    workers: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "checkpoint_every", "evaluate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.crop < 64 or self.crop % 8:
            raise ValueError(f"crop must be a multiple of 8, at least 64 pixels, got {self.crop}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision must be auto, float32 or bfloat16, got {self.precision!r}")


@dataclass(frozen=True)
class TrainingStep:
    """What one step did; the argument of the progress callback.

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


class Objective(nn.Module):
    """What a run learns; `adain.training.objectives` has two."""

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
    schedulers = [_schedule(optimizer, config) for optimizer in optimizers]
    run = _Run(objective, optimizers, schedulers, config, folder)
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


def _schedule(optimizer: Optimizer, config: TrainingConfig) -> OneCycleLR:
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


def _any_process(flag: bool, device: torch.device) -> bool:
    """Tell whether the flag is set in any process, so that all of them stop at the same step."""
    if not dist.is_initialized():
        return flag
    flags = torch.tensor(float(flag), device=device)
    dist.all_reduce(flags)
    return flags.item() > 0


def _mixed(precision: str, device: torch.device) -> bool:
    if precision == "auto":
        return fast_bfloat16(device)
    return precision == "bfloat16"


@dataclass(frozen=True)
class _Run:
    """The files of a run."""

    objective: Objective
    optimizers: list[Optimizer]
    schedulers: list[OneCycleLR]
    config: TrainingConfig
    folder: Path

    def save(self, step: int) -> None:
        """Write the checkpoint and the weights file, each atomically."""
        state = {
            "step": step,
            "config": asdict(self.config),
            "objective": self._trained_state(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "random": torch.get_rng_state(),
        }
        with new_file(self.folder / CHECKPOINT, overwrite=True) as file:
            torch.save(state, file)
        self.objective.export(self.folder, {"steps": str(step), "seed": str(self.config.seed)})

    def load(self) -> int:
        """Take up the checkpoint and return its step."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            raise WeightsError(f"{path}: no checkpoint to resume from; train without --resume")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["config"] != asdict(self.config):
                changed = [k for k, v in asdict(self.config).items() if state["config"].get(k) != v]
                raise WeightsError(
                    f"{path}: made with other values of {', '.join(changed)}; resume with the same "
                    "ones, or train into another folder"
                )
            self.objective.load_state_dict(state["objective"], strict=False)
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
                scheduler.load_state_dict(saved)
            torch.set_rng_state(state["random"])
        except WeightsError:
            raise
        except Exception as error:  # torch raises many kinds for a damaged file
            raise WeightsError(f"{path}: damaged checkpoint ({error})") from error
        self._forget_metrics_after(state["step"])
        return int(state["step"])

    def evaluate(self, step: int, losses: dict[str, float]) -> dict[str, float]:
        """Measure, write the preview and append a row to the metrics."""
        self.objective.eval()
        metrics, preview = self.objective.evaluate()
        self.objective.train()
        save_image(to_image(preview), self.folder / f"preview-{step:06d}.png", overwrite=True)
        row = {"step": step, **losses, **metrics}
        path = self.folder / "metrics.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow({key: f"{value:.6g}" for key, value in row.items()})
        return metrics

    def _trained_state(self) -> dict[str, Tensor]:
        """Return what training changes: trained parameters and buffers, not frozen teachers."""
        frozen = {name for name, p in self.objective.named_parameters() if not p.requires_grad}
        return {k: v for k, v in self.objective.state_dict().items() if k not in frozen}

    def _forget_metrics_after(self, step: int) -> None:
        path = self.folder / "metrics.csv"
        if path.exists():
            header, *rows = path.read_text(encoding="utf-8").splitlines()
            kept = [row for row in rows if int(row.split(",")[0]) <= step]
            with new_file(path, overwrite=True) as file:
                file.write(("\n".join([header, *kept]) + "\n").encode())
