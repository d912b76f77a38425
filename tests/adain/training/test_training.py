import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import Dataset

from adain.config import LOSS_LAYERS
from adain.errors import WeightsError
from adain.network.decoder import StyleModulation
from adain.network.encoder import Encoder
from adain.network.loading import load_decoder, load_encoder
from adain.training.clarity import ClarityTraining
from adain.training.config import TrainingConfig
from adain.training.decoder import DecoderTraining, initial_decoder
from adain.training.encoder import EncoderDistillation, load_teacher
from adain.training.loop import TrainingStep, train
from adain.training.objective import Objective
from adain.training.run import CHECKPOINT

CPU = torch.device("cpu")
CONFIG = TrainingConfig(
    steps=6, batch_size=2, crop=64, precision="float32", checkpoint_every=2, evaluate_every=3
)
WIDTHS = (4, 4, 8, 8, 8)
TABLE = (
    ("start", "relu4_1"), ("conv", 8, 8), ("upsample", "nearest"), ("add", "relu3_1", 8, 8),
    ("upsample", "nearest"), ("upsample", "nearest"), ("image", 8),
)  # fmt: skip


class Noise(Dataset[tuple[Tensor, list[str]]]):
    """Seeded smooth pictures, by step."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __getitem__(self, step: int) -> tuple[Tensor, list[str]]:
        generator = torch.Generator().manual_seed(1000 * self.seed + step)
        small = torch.rand(2, 3, 8, 8, generator=generator)
        return torch.nn.functional.interpolate(small, (64, 64), mode="bilinear"), []


def decoder_objective(encoder: Encoder) -> DecoderTraining:
    torch.manual_seed(0)
    pictures = Noise(9)[0][0]
    return DecoderTraining(encoder, pictures, pictures.flip(0), initial_decoder(TABLE))


def clarity_objective(encoder: Encoder) -> DecoderTraining:
    torch.manual_seed(0)
    pictures = Noise(9)[0][0]
    return ClarityTraining(encoder, pictures, pictures.flip(0), initial_decoder(TABLE))


def modulated_objective(encoder: Encoder) -> DecoderTraining:
    torch.manual_seed(0)
    pictures = Noise(9)[0][0]
    modulation = StyleModulation(48, 5, 2 * (8 + 8 + 8))
    table = (TABLE[0], ("residual", 8), *TABLE[1:])
    decoder = initial_decoder(table, modulation=modulation)
    return DecoderTraining(encoder, pictures, pictures.flip(0), decoder)


def encoder_objective(teacher: Encoder) -> EncoderDistillation:
    torch.manual_seed(0)
    return EncoderDistillation({"teacher": teacher}, Noise(9)[0][0], teacher.config)


def run(objective: Objective, folder: Path, **options: object) -> list[TrainingStep]:
    folder.mkdir(exist_ok=True)
    steps: list[TrainingStep] = []
    config = options.pop("config", CONFIG)
    train(objective, Noise(1), Noise(2), config, folder, CPU, on_step=steps.append, **options)  # type: ignore[arg-type]
    return steps


OBJECTIVES = [decoder_objective, modulated_objective, clarity_objective, encoder_objective]


@pytest.mark.parametrize("make", OBJECTIVES)
def test_training_lowers_the_loss(make, tiny_encoder: Encoder, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    losses: list[float] = []
    config = replace(CONFIG, steps=60, learning_rate=1e-2)
    # Each photo is to be painted in its own style, which leaves nothing that cannot be learned.
    pictures, collect = Noise(1), lambda step: losses.append(step.losses["loss"])
    train(make(tiny_encoder), pictures, pictures, config, tmp_path, CPU, on_step=collect)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("make", [decoder_objective, modulated_objective, encoder_objective])
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_resumed_run_equals_an_unbroken_one(  # type: ignore[no-untyped-def]
    make, stop: int, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    whole = make(tiny_encoder)
    run(whole, tmp_path / "whole")
    done: list[int] = []
    run(
        make(tiny_encoder),
        tmp_path / "broken",
        should_stop=lambda: done.append(1) or len(done) == stop,  # type: ignore[func-returns-value]
    )
    assert len(done) == stop
    rest = make(tiny_encoder)
    steps = run(rest, tmp_path / "broken", resume=True)
    assert [step.step for step in steps] == list(range(stop + 1, 7))
    for (name, expected), result in zip(
        whole.state_dict().items(), rest.state_dict().values(), strict=True
    ):
        assert torch.equal(expected, result), name
    whole_rows, broken_rows = (
        (tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("whole", "broken")
    )
    assert whole_rows[-1] == broken_rows[-1]


def test_a_run_leaves_weights_metrics_and_previews(tiny_encoder: Encoder, tmp_path: Path) -> None:
    steps = run(decoder_objective(tiny_encoder), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        CHECKPOINT, "decoder.safetensors", "metrics.csv",
        "preview-000003.png", "preview-000006.png",
    ]  # fmt: skip
    assert load_decoder(tmp_path / "decoder.safetensors")[1]["steps"] == "6"
    header, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header.startswith("step,loss,content,style") and len(rows) == 2
    assert [bool(step.metrics) for step in steps] == [False, False, True] * 2


def test_the_exported_encoder_computes_what_was_trained(
    tiny_encoder: Encoder, tmp_path: Path
) -> None:
    objective = encoder_objective(tiny_encoder)
    run(objective, tmp_path)
    objective.eval()
    image = Noise(3)[0][0]
    plain = load_encoder(tmp_path / "encoder.safetensors")(image, LOSS_LAYERS)
    for layer, expected in objective.encoder(image, LOSS_LAYERS).items():
        torch.testing.assert_close(plain[layer], expected, atol=2e-2, rtol=2e-2)


def test_the_modulation_learns_and_is_exported(tiny_encoder: Encoder, tmp_path: Path) -> None:
    objective = modulated_objective(tiny_encoder)
    modulation = objective.decoder.modulation
    assert modulation is not None
    before = {name: value.clone() for name, value in modulation.state_dict().items()}
    run(objective, tmp_path)
    learned = {k for k, v in modulation.state_dict().items() if not torch.equal(v, before[k])}
    assert learned == {name for name, _ in modulation.named_parameters()}
    exported, _ = load_decoder(tmp_path / "decoder.safetensors")
    assert exported.modulation is not None
    style = torch.rand(2, 48)
    torch.testing.assert_close(exported.modulation(style), modulation(style), atol=1e-4, rtol=1e-2)


def test_a_new_residual_row_changes_nothing(tiny_encoder: Encoder) -> None:
    decoder = modulated_objective(tiny_encoder).decoder
    plain = initial_decoder(TABLE)
    plain.load_state_dict(
        {
            f"{int(name[0]) - 1}{name[1:]}": value
            for name, value in decoder.state_dict().items()
            if name[0] in "234567"
        }
    )
    features = {"relu4_1": torch.rand(1, 8, 4, 4), "relu3_1": torch.rand(1, 8, 8, 8)}
    same = (torch.ones(1, 8, 1, 1), torch.zeros(1, 8, 1, 1))
    normalization = dict.fromkeys(features, same)
    maps = [same for _ in decoder.modulated()]
    result = decoder(features, normalization, maps)
    torch.testing.assert_close(result, plain(features, normalization))


def test_frozen_networks_do_not_change(tiny_encoder: Encoder, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in tiny_encoder.state_dict().items()}
    run(decoder_objective(tiny_encoder), tmp_path)
    assert all(torch.equal(before[k], v) for k, v in tiny_encoder.state_dict().items())


def test_resuming_without_a_checkpoint_says_so(tiny_encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no checkpoint"):
        run(decoder_objective(tiny_encoder), tmp_path, resume=True)


def test_a_damaged_or_foreign_checkpoint_is_refused(tiny_encoder: Encoder, tmp_path: Path) -> None:
    run(decoder_objective(tiny_encoder), tmp_path)
    with pytest.raises(WeightsError, match="other values of seed"):
        run(decoder_objective(tiny_encoder), tmp_path, resume=True, config=replace(CONFIG, seed=1))
    checkpoint = tmp_path / CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="damaged"):
        run(decoder_objective(tiny_encoder), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("field", "value"), [("steps", 0), ("crop", 60), ("crop", 65), ("precision", "float8")]
)
def test_impossible_settings_are_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        replace(CONFIG, **{field: value})  # type: ignore[arg-type]


def test_a_teacher_takes_rgb_although_its_file_wants_bgr(
    tiny_encoder: Encoder, tmp_path: Path
) -> None:
    matrix = torch.tensor([[0.0, 0, 255], [0, 255, 0], [255, 0, 0]])[:, :, None, None]
    state = tiny_encoder.state_dict() | {
        "preprocess.weight": matrix,
        "preprocess.bias": torch.tensor([-100.0, -110, -120]),
    }
    save_file(state, tmp_path / "teacher.safetensors")
    image = Noise(3)[0][0]
    converted = 255 * image.flip(1) - torch.tensor([100.0, 110, 120])[:, None, None]
    expected = tiny_encoder(converted, LOSS_LAYERS)
    result = load_teacher(tmp_path / "teacher.safetensors")(image, LOSS_LAYERS)
    for layer in LOSS_LAYERS:
        torch.testing.assert_close(result[layer], expected[layer], atol=1e-2, rtol=1e-3)


def test_a_file_that_is_no_vgg_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="not the tensors of a VGG-19"):
        load_teacher(tmp_path / "other.safetensors")


@pytest.mark.slow
def test_several_processes_train_one_network(tmp_path: Path) -> None:
    """Two processes under torchrun end with equal weights, written once."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path)], env=environment, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (tmp_path / "decoder.safetensors").exists()


WORKER = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from adain.network.encoder import Encoder, EncoderConfig
from adain.training.decoder import DecoderTraining, initial_decoder
from adain.training.loop import train
from adain.training.clarity import ClarityTraining
from adain.training.config import TrainingConfig

dist.init_process_group("gloo")
rank = dist.get_rank()

class Noise(torch.utils.data.Dataset):
    def __getitem__(self, step):
        generator = torch.Generator().manual_seed(10 * step + rank)
        return torch.rand(2, 3, 64, 64, generator=generator), []

table = (("start", "relu4_1"), *[("upsample", "nearest")] * 3, ("conv", 4, 4), ("image", 4))
torch.manual_seed(0)
encoder = Encoder(EncoderConfig((2, 2, 4, 4, 4), (3, 3, 5, 5, 5)))
pictures = torch.rand(2, 3, 64, 64)
objective = DecoderTraining(encoder, pictures, pictures, initial_decoder(table))
folder = Path(sys.argv[1])
config = TrainingConfig(steps=4, batch_size=2, crop=64, precision="float32", evaluate_every=2)
train(objective, Noise(), Noise(), config, folder, torch.device("cpu"))
torch.save(objective.decoder.state_dict(), folder / f"rank{rank}.pt")
dist.destroy_process_group()
"""
