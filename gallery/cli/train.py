"""`adain train`: make the network's weights."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gallery.cli.exits import usage
from gallery.cli.signals import stop_on_interrupt
from gallery.files import make_folder

if TYPE_CHECKING:
    import torch

    from adain.training.data import Pictures
    from adain.training.loop import Objective, TrainingConfig

app = typer.Typer(no_args_is_help=True, help="Train the encoder or the decoder.")

Source = Annotated[
    Path, typer.Option(help="Folder of pictures, or CSV with the columns file, split, style.")
]
RunFolder = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of the run; made if missing.")
]
Steps = Annotated[int, typer.Option(min=1, help="Optimiser steps of the whole run.")]
Batch = Annotated[int, typer.Option(min=2, help="Photos, and paintings, in a step.")]
Crop = Annotated[int, typer.Option(min=64, help="Side of the crops in pixels, a multiple of 8.")]
Rate = Annotated[float, typer.Option(min=0, help="Peak learning rate of Adam.")]
MatrixRate = Annotated[
    float, typer.Option(min=0, help="Peak learning rate of Muon (3x3 convolutions).")
]
Seed = Annotated[int, typer.Option(help="Decides the first weights and every crop.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16.")]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes that decode pictures; 0 decodes in place.")
]
Every = Annotated[
    int, typer.Option(min=1, help="Steps between checkpoints, and between evaluations.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the checkpoint in the run's folder.")
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]


@app.command()
def encoder(
    photos: Source,
    paintings: Source,
    output: RunFolder,
    teacher: Annotated[
        list[Path],
        typer.Option(
            help="VGG-19 to distil from (.safetensors); repeat: later ones win their layers."
        ),
    ],
    steps: Steps = 9000,
    batch_size: Batch = 8,
    crop: Crop = 96,
    learning_rate: Rate = 5e-3,
    matrix_learning_rate: MatrixRate = 2e-2,
    seed: Seed = 0,
    precision: Precision = "auto",
    workers: Workers = 0,
    every: Every = 500,
    resume: Resume = False,
    device: DeviceName = "auto",
) -> None:
    """Distil a small VGG-19 from larger ones, from random weights.

    Leaves encoder.safetensors, checkpoint.pt, metrics.csv and previews in the run's folder.
    Ctrl-C stops after the step with a checkpoint; --resume goes on as if nothing had happened.

    Example: adain train encoder --photos photos.csv --paintings styles.csv
    --teacher vgg19.safetensors -o runs/encoder
    """
    from adain.training.data import center_crops, find_pictures
    from adain.training.loop import TrainingConfig
    from adain.training.objectives import EncoderDistillation, load_teacher

    with usage():
        config = TrainingConfig(
            steps, batch_size, crop, learning_rate, matrix_learning_rate,
            seed=seed, precision=precision, workers=workers,
            checkpoint_every=every, evaluate_every=every,
        )  # fmt: skip
    teachers = {str(i): load_teacher(path) for i, path in enumerate(teacher)}
    held_out = [*_validation(photos)[:40], *_validation(paintings)[:60]]
    train_pictures = find_pictures(photos), find_pictures(paintings)

    def objective() -> "Objective":
        return EncoderDistillation(teachers, center_crops(held_out, 128))

    _train(objective, train_pictures, config, output, resume, device)


@app.command()
def decoder(
    photos: Source,
    paintings: Source,
    output: RunFolder,
    encoder: Annotated[
        Path | None, typer.Option(help="Encoder file; the shipped one by default.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Decoder file to train further; new weights by default.")
    ] = None,
    max_gain: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=1000,
            help="No channel is amplified more than its layer times this; 2, or that of --start.",
        ),
    ] = None,
    steps: Steps = 9000,
    batch_size: Batch = 8,
    crop: Crop = 160,
    learning_rate: Rate = 2e-3,
    matrix_learning_rate: MatrixRate = 1e-2,
    content_weight: Annotated[float, typer.Option(min=0, help="Keeps what the photo shows.")] = 2.4,
    style_weight: Annotated[float, typer.Option(min=0, help="Takes the painting's style.")] = 32.0,
    covariance_weight: Annotated[
        float, typer.Option(min=0, help="Takes colours and textures that go together.")
    ] = 18.0,
    structure_weight: Annotated[
        float, typer.Option(min=0, help="Keeps light, dark and flat where the photo has them.")
    ] = 0.9,
    coarse_structure_weight: Annotated[
        float, typer.Option(min=0, help="Keeps areas light or dark as a whole.")
    ] = 3.2,
    identity_weight: Annotated[
        float, typer.Option(min=0, help="Gives a photo back in its own style.")
    ] = 30.0,
    tv_weight: Annotated[
        float, typer.Option(min=0, help="Smooths what the photo has flat.")
    ] = 300.0,
    coarse_tv_weight: Annotated[
        float, typer.Option(min=0, help="Keeps blots out of what the photo has flat.")
    ] = 450.0,
    ragged_edge_weight: Annotated[
        float, typer.Option(min=0, help="Keeps combs and ragged halos away from edges.")
    ] = 7500.0,
    chroma_weight: Annotated[
        float, typer.Option(min=0, help="Keeps coloured dots and fringes away.")
    ] = 1500.0,
    stray_color_weight: Annotated[
        float, typer.Option(min=0, help="Keeps away colours that nothing in the photo explains.")
    ] = 700.0,
    palette_weight: Annotated[
        float, typer.Option(min=0, help="Takes the painting's colours and contrast.")
    ] = 300.0,
    seed: Seed = 0,
    precision: Precision = "auto",
    workers: Workers = 0,
    every: Every = 500,
    resume: Resume = False,
    device: DeviceName = "auto",
) -> None:
    """Train a decoder on photos and paintings.

    Leaves decoder.safetensors, checkpoint.pt, metrics.csv and previews in the run's folder;
    use it with: adain stylize photo.jpg --style painting.jpg --model RUN/decoder.safetensors

    Example: torchrun --nproc-per-node 4 --no-python adain train decoder --photos photos/
    --paintings paintings/ -o runs/decoder
    """
    from adain.network.weights import load_decoder, load_encoder
    from adain.training.data import center_crops, find_pictures
    from adain.training.loop import TrainingConfig
    from adain.training.objectives import (
        DecoderLosses,
        DecoderTraining,
        fit_colors,
        initial_decoder,
    )

    with usage():
        config = TrainingConfig(
            steps, batch_size, crop, learning_rate, matrix_learning_rate,
            seed=seed, precision=precision, workers=workers,
            checkpoint_every=every, evaluate_every=every,
        )  # fmt: skip
    loaded = load_encoder(encoder)
    held_out = _validation(photos)[:12], _validation(paintings)[:12]
    train_pictures = find_pictures(photos), find_pictures(paintings)

    def objective() -> "Objective":
        crops = (center_crops(held_out[0], 256), center_crops(held_out[1], 256))
        weights = DecoderLosses(
            content_weight,
            style_weight,
            covariance_weight,
            structure_weight,
            coarse_structure_weight,
            identity_weight,
            tv_weight,
            coarse_tv_weight,
            ragged_edge_weight,
            chroma_weight,
            stray_color_weight,
            palette_weight,
        )
        if start:
            initial = load_decoder(start)[0]
        else:
            colors = fit_colors(loaded, train_pictures[1], crop, seed)
            initial = initial_decoder(colors=colors)
        if max_gain is not None:
            initial.max_gain = max_gain
        return DecoderTraining(loaded, *crops, initial, weights)

    _train(objective, train_pictures, config, output, resume, device)


def _validation(source: Path) -> tuple[Path, ...]:
    from adain.training.data import find_pictures

    return find_pictures(source, split="val").paths


def _train(
    make_objective: "Callable[[], Objective]",
    pictures: "tuple[Pictures, Pictures]",
    config: "TrainingConfig",
    folder: Path,
    resume: bool,
    device_name: str,
) -> None:
    """Run the loop with a progress bar, on every process that torchrun started."""
    import torch
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from adain.training.data import CropBatches
    from adain.training.loop import CHECKPOINT, TrainingStep, train

    make_folder(folder)
    if not resume and (folder / CHECKPOINT).exists():
        raise typer.BadParameter(
            f"{folder} holds a run already; add --resume or take another folder"
        )
    console = Console(stderr=True)
    with _process_group(device_name) as (rank, device), stop_on_interrupt() as stopped:
        torch.manual_seed(config.seed)
        hidden = rank > 0 or not console.is_terminal
        with nullcontext() if hidden else console.status("preparing"):
            objective = make_objective()
        photos, paintings = (
            CropBatches(source, config.batch_size, config.crop, seed=_mix(config.seed, kind, rank))
            for kind, source in enumerate(pictures)
        )
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, disable=hidden) as progress:
            bar = progress.add_task("training", total=config.steps)

            def show(step: TrainingStep) -> None:
                progress.update(
                    bar, completed=step.step, description=f"loss {step.losses['loss']:.3f}"
                )
                for line in step.skipped:
                    console.print(f"skipped: {line}", style="yellow", markup=False)
                if step.metrics:
                    figures = ", ".join(f"{k} {v:.4f}" for k, v in step.metrics.items())
                    console.print(f"step {step.step}: {figures}", markup=False, highlight=False)

            done = train(
                objective, photos, paintings, config, folder, device,
                resume=resume, on_step=show, should_stop=lambda: bool(stopped),
            )  # fmt: skip
    if rank == 0:
        typer.echo(folder)
    if done < config.steps:
        console.print(f"stopped at step {done}; go on with --resume", markup=False)
        raise typer.Exit(130)


def _mix(seed: int, kind: int, rank: int) -> int:
    """Return a seed of its own for photos and paintings on each process."""
    return (seed * 2 + kind) * 4096 + rank


@contextmanager
def _process_group(device_name: str) -> "Iterator[tuple[int, torch.device]]":
    """Join the processes that torchrun started, if it did; yield the rank and its device."""
    import torch.distributed as dist

    from adain.engine.device import choose_device, keep_freed_memory

    with usage():
        device = choose_device(device_name)
    keep_freed_memory()
    if "RANK" not in os.environ:
        yield 0, device
        return
    if device.type == "cuda":
        device = choose_device(f"cuda:{os.environ['LOCAL_RANK']}")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield dist.get_rank(), device
    finally:
        dist.destroy_process_group()
