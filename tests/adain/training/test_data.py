import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image

from adain.errors import ImageError
from adain.training.data import CropBatches, Pictures, center_crops, find_pictures


def save_picture(path: Path, seed: int = 0, size: tuple[int, int] = (90, 70)) -> Path:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for i in range(3):
        save_picture(tmp_path / f"{i}.png", i)
    save_picture(tmp_path / "sub" / "3.PNG", 3)
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_a_folder_is_searched_with_its_sub_folders(folder: Path) -> None:
    assert [path.name for path in find_pictures(folder).paths] == ["1.png", "2.png", "3.PNG"]


def test_a_folder_holds_some_pictures_out(folder: Path) -> None:
    assert find_pictures(folder, "val").paths == (folder / "0.png",)


def test_a_folder_of_one_picture_serves_both_splits(folder: Path) -> None:
    only = (folder / "sub" / "3.PNG",)
    assert find_pictures(folder / "sub").paths == find_pictures(folder / "sub", "val").paths == only


def test_a_csv_file_gives_splits_and_groups(folder: Path) -> None:
    table = folder / "styles.csv"
    table.write_text(
        "file,split,style\n0.png,train,Baroque\n1.png,train,Cubism\n2.png,train,Cubism\n"
        "sub/3.PNG,val,Cubism\n"
    )
    assert find_pictures(table).groups == (
        (folder / "0.png",),
        (folder / "1.png", folder / "2.png"),
    )
    assert find_pictures(table, "val").paths == (folder / "sub/3.PNG",)


@pytest.mark.parametrize("name", ["missing", "empty", "empty.csv", "0.png"])
def test_a_source_without_pictures_is_named(folder: Path, name: str) -> None:
    (folder / "empty").mkdir()
    (folder / "empty.csv").write_text("file,split\n")
    with pytest.raises(ImageError, match=name):
        find_pictures(folder / name)


def test_groups_are_drawn_by_the_root_of_their_size() -> None:
    large = tuple(Path(f"large{i}") for i in range(100))
    small = (Path("small"),)
    pictures, generator = Pictures((large, small)), random.Random(0)
    drawn = Counter(pictures.draw(generator) in small for _ in range(4000))
    assert drawn[True] / 4000 == pytest.approx(1 / 11, abs=0.02)


def test_a_batch_depends_on_seed_and_step_alone(folder: Path) -> None:
    pictures = find_pictures(folder)
    first, again = (CropBatches(pictures, 4, 32, seed=5) for _ in range(2))
    for step in (3, 0, 3):
        assert torch.equal(first[step][0], again[step][0])
    assert not torch.equal(first[0][0], first[1][0])
    assert not torch.equal(first[0][0], CropBatches(pictures, 4, 32, seed=6)[0][0])


@pytest.mark.parametrize("zoom", [(0.5, 0.5), (1.0, 1.0), (2.0, 2.0), (9.0, 9.0)])
def test_crops_have_the_asked_size_and_range(folder: Path, zoom: tuple[float, float]) -> None:
    crops, skipped = CropBatches(find_pictures(folder), 5, 32, zoom)[0]
    assert crops.shape == (5, 3, 32, 32) and not skipped
    assert crops.min() >= 0 and crops.max() <= 1


def test_unreadable_pictures_are_reported_and_replaced(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"nothing")
    batches = CropBatches(find_pictures(folder), 4, 32)
    results = [batches[step] for step in range(8)]
    assert all(crops.shape == (4, 3, 32, 32) for crops, _ in results)
    lines = [line for _, skipped in results for line in skipped]
    assert lines and all("broken.png" in line for line in lines)


def test_only_unreadable_pictures_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match="too many unreadable"):
        CropBatches(find_pictures(tmp_path), 2, 32)[0]


def test_center_crops_are_squares_of_the_middle(tmp_path: Path) -> None:
    image = Image.new("RGB", (90, 30), "black")
    image.paste("white", (30, 0, 60, 30))
    image.save(tmp_path / "wide.png")
    crops = center_crops([tmp_path / "wide.png"], 24)
    assert crops.shape == (1, 3, 24, 24)
    assert crops.min() > 0.99
