"""The files of a run: its checkpoint, metrics, previews and weights."""

import csv
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from adain.errors import WeightsError
from adain.files import new_file
from adain.imaging.pillow import to_image
from adain.imaging.writing import save_image
from adain.network.statistics import to_pixels
from adain.training.config import TrainingConfig
from adain.training.objective import Objective

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Run:
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
        path = self.folder / f"preview-{step:06d}.png"
        save_image(to_image(to_pixels(preview[None])), path, overwrite=True)
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
