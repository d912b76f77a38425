"""Training pictures: where they are and how batches of crops are drawn from them."""

import csv
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from adain.errors import ImageError
from adain.imaging.reading import SUFFIXES, load_image
from adain.imaging.resizing import resize_image

HELD_OUT = 50

MAX_ATTEMPTS = 20
"""Unreadable pictures in a row after which a batch gives up."""


@dataclass(frozen=True)
class Pictures:
    """Pictures to draw from, in groups (movements, say) that are drawn evenly.

    Attributes:
        groups: Paths of each group, sorted; every group has at least one.
    """

    groups: tuple[tuple[Path, ...], ...]

    def __len__(self) -> int:
        return sum(len(group) for group in self.groups)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return every path, group by group."""
        return tuple(path for group in self.groups for path in group)

    def draw(self, generator: random.Random) -> Path:
        """Choose a picture: a group by the square root of its size, then one of the group.

        The square root lies between the extremes: drawing by size lets the largest movement
        set the look, drawing evenly repeats the few pictures of the smallest.
        """
        weights = [math.sqrt(len(group)) for group in self.groups]
        (group,) = generator.choices(self.groups, weights)
        return generator.choice(group)


def find_pictures(source: Path, split: str = "train") -> Pictures:
    """Find the pictures of a folder (with its sub-folders) or of a CSV file.

    Args:
        source: A folder, or a CSV file with the column `file` (paths relative to the CSV file),
            and optionally `split` and `style` (the group).
        split: `train` or `val`: rows of a CSV file with this value in the column `split`. Of a
            folder, every `HELD_OUT`th picture is for validation.

    Raises:
        ImageError: If the source is missing or holds no picture of the split.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
        held_out = found[::HELD_OUT]
        groups[""] = held_out if split == "val" else sorted({*found} - {*held_out}) or found
    else:
        try:
            with source.open(newline="", encoding="utf-8-sig") as file:
                for row in csv.DictReader(file):
                    if row.get("file") and row.get("split", split) == split:
                        groups[row.get("style") or ""].append(source.parent / row["file"])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ImageError(
                f"{source}: not a folder or a CSV file of pictures ({error})"
            ) from error
    if not any(groups.values()):
        raise ImageError(f"{source}: no pictures of split {split!r}; expected a folder of pictures "
                         "or a CSV file with the columns file and split")  # fmt: skip
    return Pictures(tuple(tuple(sorted(group)) for _, group in sorted(groups.items())))


class CropBatches(Dataset[tuple[Tensor, list[str]]]):
    """Item `step` is the batch of crops for that training step.

    It depends on the seed and the step alone, so neither an interruption nor the number of
    workers changes what a run sees.

    Args:
        pictures: Where crops come from.
        batch_size: Crops in a batch.
        crop: Side of a crop in pixels.
        zoom: Range of scales, in picture pixels per crop pixel: below 1 enlarges the picture,
            above 1 shrinks it. Strokes then keep their look at every size.
        seed: Two different seeds draw independently of each other.
        cache: Pictures to keep decoded in memory, per process.
        max_side: Longer side in pixels to which larger pictures are shrunk first.
    """

    def __init__(
        self,
        pictures: Pictures,
        batch_size: int,
        crop: int,
        zoom: tuple[float, float] = (0.6, 2.0),
        seed: int = 0,
        cache: int = 6000,
        max_side: int | None = None,
    ) -> None:
        self.pictures = pictures
        self.batch_size = batch_size
        self.crop = crop
        self.zoom = zoom
        self.seed = seed
        self._load = lru_cache(cache)(partial(_load_bytes, max_side=max_side))

    def __getitem__(self, step: int) -> tuple[Tensor, list[str]]:
        """Return crops `(N, 3, crop, crop)` in [0, 1] and a line for each skipped picture."""
        generator = random.Random(f"{self.seed}/{step}")
        crops: list[Tensor] = []
        skipped: list[str] = []
        while len(crops) < self.batch_size:
            path = self.pictures.draw(generator)
            try:
                crops.append(self._crop(self._load(path), generator))
            except ImageError as error:
                skipped.append(str(error))
                if len(skipped) >= MAX_ATTEMPTS:
                    raise ImageError(f"too many unreadable pictures; the last: {error}") from error
        return torch.stack(crops), skipped

    def _crop(self, image: Tensor, generator: random.Random) -> Tensor:
        """Cut a square at a random place and scale, mirror it or not, resize it to the crop."""
        height, width = image.shape[1:]
        low, high = (math.log(zoom) for zoom in self.zoom)
        side = round(self.crop * math.exp(generator.uniform(low, high)))
        side = min(side, height, width)
        top, left = generator.randint(0, height - side), generator.randint(0, width - side)
        cut = image[:, top : top + side, left : left + side].float().div(255)
        if generator.random() < 0.5:
            cut = cut.flip(2)
        if side == self.crop:
            return cut
        size = (self.crop, self.crop)
        return F.interpolate(cut[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)


def center_crops(paths: Sequence[Path], side: int) -> Tensor:
    """Return the middle squares of pictures, resized to `side`: `(N, 3, side, side)`."""
    crops = []
    for path in paths:
        image = _load_bytes(path)
        short = min(image.shape[1:])
        top, left = (image.shape[1] - short) // 2, (image.shape[2] - short) // 2
        square = image[None, :, top : top + short, left : left + short].float().div(255)
        crops.append(F.interpolate(square, (side, side), mode="bilinear", antialias=True)[0])
    return torch.stack(crops).clamp(0, 1)


def _load_bytes(path: Path, max_side: int | None = None) -> Tensor:
    """Return the picture as bytes `(3, H, W)`: a quarter of the memory of floats."""
    picture = load_image(path, side=max_side)
    if max_side is not None:
        picture = resize_image(picture, max_side)
    return torch.tensor(picture.to_array(8)[..., :3]).permute(2, 0, 1).contiguous()
