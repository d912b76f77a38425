"""Checkpoints of renders: one file that says where a run was, and of which run it is."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from adain.optimizing.checkpoint import Checkpoint, lay_out
from gallery.errors import CheckpointError
from gallery.files import write_file

FORMAT = "adain-render/2"

FIRST_FORMAT = "adain-render/1"
"""That of versions which scaled pictures, and made the one pass, by torch."""

SCALED = ("photo", "regions", "init")
"""Digests of a `Run` that such versions took of pixels whose last bits were those of torch."""

Run = dict[str, Any]
"""The ingredients of a run, by name: digests of its pictures and settings, as JSON holds them."""


def checkpoint_path(output: Path) -> Path:
    """Return where the checkpoint of a result is: beside it."""
    return output.with_name(f"{output.name}.checkpoint")


def save_checkpoint(checkpoint: Checkpoint, run: Run, path: Path) -> None:
    """Write a checkpoint, whole or not at all. Raises `OutputError`."""
    metadata = {
        "format": FORMAT,
        "run": json.dumps(run),
        "scale": str(checkpoint.scale),
        "iteration": str(checkpoint.iteration),
        "rate": repr(checkpoint.rate),
    }
    tensors = {name: tensor.cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    # The first picture of a scale is its average, too; a file holds no tensor twice.
    tensors["average"] = tensors["average"].clone()
    write_file(path, save(tensors, metadata))


def load_checkpoint(path: Path, run: Run, device: str) -> Checkpoint:
    """Read the checkpoint of a run.

    Raises:
        CheckpointError: If there is none, or it is damaged or of another run.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no checkpoint to go on from; leave --resume away")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            names = list(file.keys())
            tensors = {name: lay_out(file.get_tensor(name).to(device)) for name in names}
        if metadata["format"] not in (FORMAT, FIRST_FORMAT):
            raise ValueError(metadata["format"])
        kept = json.loads(metadata["run"])
        checkpoint = Checkpoint(
            int(metadata["scale"]), int(metadata["iteration"]), float(metadata["rate"]), tensors
        )
        finite = all(torch.isfinite(value).all() for value in tensors.values())
        if not finite or not {"image", "average", "losses"} <= tensors.keys():
            raise ValueError("tensors")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: damaged, or not a checkpoint; remove it and leave --resume away"
        ) from error
    other = sorted(name for name in run | kept if run.get(name) != kept.get(name))
    if metadata["format"] == FIRST_FORMAT:
        other = [
            name for name in other if name not in SCALED or None in (run.get(name), kept.get(name))
        ]
    if other:
        raise CheckpointError(
            f"{path}: belongs to a run with another {', '.join(other)}; give the same again, or "
            "leave --resume away"
        )
    return checkpoint
