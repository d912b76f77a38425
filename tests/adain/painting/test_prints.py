"""Memory of whole processes: what `adain stylize` takes for photos of the size of a print."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[3] / "scripts" / "benchmark_tiling"

MEBIBYTE = 2**20


def peak(photo: Path, *options: str) -> int:
    """Stylize a photo in a process of its own; return its highest resident memory in bytes."""
    command = [sys.executable, str(SCRIPT), "--child", str(photo), "--overwrite", *options]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(finished.stdout.split()[-1])


def draw(path: Path, width: int, height: int) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR).save(path)
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is that of /proc")
def test_the_command_keeps_to_its_limit_of_memory(tmp_path: Path) -> None:
    photo = draw(tmp_path / "photo.jpg", 3000, 2000)
    limited = peak(photo, "--stroke", "0", "--memory", "500M")
    free = peak(photo, "--stroke", "0", "--memory", "8G")
    assert limited <= 500 * MEBIBYTE < free, "the limit must be less than what is taken without"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is that of /proc")
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_a_print_takes_a_few_bytes_a_pixel(tmp_path: Path, suffix: str) -> None:
    small = draw(tmp_path / f"small.{suffix}", 1200, 800)
    large = draw(tmp_path / f"large.{suffix}", 6000, 4000)
    more = peak(large) - peak(small)
    # Levels of photo and result, the decoder's and the encoder's own, and the file.
    assert more <= 16 * (6000 * 4000 - 1200 * 800)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is that of /proc")
@pytest.mark.parametrize(
    "options",
    [
        ("--photorealistic", "--preserve-color", "histogram"),
        ("--mask", "mask.png", "--style", "irises"),
        ("--format", "png", "--bits", "16"),
    ],
    ids=["photorealistic", "mask", "16 bits"],
)
def test_what_follows_the_network_keeps_to_the_limit_too(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    photo = draw(tmp_path / "photo.jpg", 4800, 3600)
    halves = np.repeat(np.array([[0, 255]], np.uint8), 2400, 1).repeat(3600, 0)
    Image.fromarray(halves).save(tmp_path / "mask.png")
    options = tuple(str(tmp_path / each) if each == "mask.png" else each for each in options)
    taken = peak(photo, "--stroke", "0", "--memory", "1G", *options)
    # Up to 1012 were seen; what memory the system and libraries take beside differs.
    assert taken <= 1060 * MEBIBYTE, f"{taken / MEBIBYTE:.0f} MiB"
