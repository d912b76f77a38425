"""`adain train`: make the network's weights."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adain.engine.torch_extra import require_torch
from adain.training.config import (
    CLARITY_TRAINING,
    ENCODER_TRAINING,
    DecoderLosses,
    TrainingConfig,
)
from gallery.cli.exits import usage
from gallery.cli.fields import spread
from gallery.files import make_folder
from gallery.signals import stop_on_interrupt

if TYPE_CHECKING:
    from adain.training.data import Pictures
    from adain.training.objective import Objective

app = typer.Typer(no_args_is_help=True, help="Train the encoder or the decoder.")

Source = Annotated[
    Path, typer.Option(help="Folder of pictures, or CSV with the columns file, split, style.")
]
RunFolder = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of the run; made if missing.")
]
Every = Annotated[
    int, typer.Option(min=1, help="Steps between checkpoints, and between evaluations.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the checkpoint in the run's folder.")
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]


@app.command()
@spread()
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
    config: TrainingConfig = ENCODER_TRAINING,
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
    require_torch("training")
    from adain.training.data import center_crops, find_pictures
    from adain.training.encoder import EncoderDistillation, load_teacher

    config = replace(config, checkpoint_every=every, evaluate_every=every)
    teachers = {str(i): load_teacher(path) for i, path in enumerate(teacher)}
    held_out = [*_validation(photos)[:40], *_validation(paintings)[:60]]
    train_pictures = find_pictures(photos), find_pictures(paintings)

    def objective() -> "Objective":
        return EncoderDistillation(teachers, center_crops(held_out, 128))

    _train(objective, train_pictures, config, output, resume, device)


@app.command()
@spread()
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
    config: TrainingConfig = TrainingConfig(),
    losses: DecoderLosses = DecoderLosses(),
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
    require_torch("training")
    from adain.network.loading import load_decoder, load_encoder
    from adain.training.data import center_crops, find_pictures
    from adain.training.decoder import DecoderTraining, fit_colors, initial_decoder

    config = replace(config, checkpoint_every=every, evaluate_every=every)
    loaded = load_encoder(encoder)
    held_out = _validation(photos)[:12], _validation(paintings)[:12]
    train_pictures = find_pictures(photos), find_pictures(paintings)

    def objective() -> "Objective":
        crops = (center_crops(held_out[0], 256), center_crops(held_out[1], 256))
        if start:
            initial = load_decoder(start)[0]
        else:
            colors = fit_colors(loaded, train_pictures[1], config.crop, config.seed)
            initial = initial_decoder(colors=colors)
        if max_gain is not None:
            initial.max_gain = max_gain
        return DecoderTraining(loaded, *crops, initial, losses)

    _train(objective, train_pictures, config, output, resume, device)


@app.command()
@spread()
def clarity(
    photos: Source,
    paintings: Source,
    output: RunFolder,
    start: Annotated[Path, typer.Option(help="Decoder file to train further.")],
    config: TrainingConfig = CLARITY_TRAINING,
    every: Every = 100,
    resume: Resume = False,
    device: DeviceName = "auto",
) -> None:
    """Teach a decoder bold textures, calm flats, clear contours.

    A pass costs what it did. Leaves the same files as `adain train decoder`, of which it is the
    last part.

    Example: adain train clarity --photos photos/ --paintings paintings/ --start decoder.safetensors
    -o runs/clear
    """
    require_torch("training")
    from adain.network.loading import load_decoder, load_encoder
    from adain.training.clarity import ClarityTraining
    from adain.training.data import center_crops, find_pictures

    config = replace(config, checkpoint_every=every, evaluate_every=every)
    held_out = _validation(photos)[:12], _validation(paintings)[:12]

    def objective() -> "Objective":
        crops = (center_crops(held_out[0], 256), center_crops(held_out[1], 256))
        return ClarityTraining(load_encoder(None), *crops, load_decoder(start)[0])

    pictures = find_pictures(photos), find_pictures(paintings)
    _train(objective, pictures, config, output, resume, device)


def _validation(source: Path) -> tuple[Path, ...]:
    from adain.training.data import find_pictures

    return find_pictures(source, split="val").paths


def _train(
    make_objective: "Callable[[], Objective]",
    pictures: "tuple[Pictures, Pictures]",
    config: TrainingConfig,
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

    from adain.engine.device import choose_device
    from adain.training.data import CropBatches
    from adain.training.distributed import process_group
    from adain.training.loop import TrainingStep, train
    from adain.training.run import CHECKPOINT

    make_folder(folder)
    if not resume and (folder / CHECKPOINT).exists():
        raise typer.BadParameter(
            f"{folder} holds a run already; add --resume or take another folder"
        )
    console = Console(stderr=True)
    with usage():
        wanted = choose_device(device_name)
    with process_group(wanted) as (rank, device), stop_on_interrupt() as stopped:
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
