"""Films in which people are: faces kept, styles for parts, also by a run that goes on."""

from pathlib import Path

import numpy as np
import pytest
from films import drawn
from PIL import Image

import adain
from adain.config import Controls
from adain.engine.model import Model
from adain.imaging.reading import load_image
from adain.imaging.resizing import scale_image
from adain.painting.tiling import measure_pixels
from adain.styles.statistics import stack_styles
from adain.video import frames
from adain.video.direction import Direction
from gallery.use_cases.film_reading import open_film
from gallery.use_cases.film_writing import Target
from gallery.use_cases.video import Report, VideoConfig, paint_film

pytest.importorskip("av")
pytest.importorskip("cv2")

PORTRAIT = Path(adain.__file__).parent / "assets" / "photos" / "astronaut.jpg"

CONTROLS = Controls(regions=("person", "rest"), keep="face")


def test_a_film_with_people_that_was_killed_goes_on_as_if_it_had_not(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "WINDOW", 8)
    photo = scale_image(load_image(PORTRAIT), 160).to_array()
    (tmp_path / "in").mkdir()
    for i in range(20):
        Image.fromarray(photo[:100, i : i + 96]).save(tmp_path / "in" / f"{i:03d}.png")
    styles = stack_styles(
        [measure_pixels(tiny_model, drawn(i).astype(np.float32) / np.float32(255)) for i in (3, 7)]
    )

    def paint(name: str, limit: int = 99) -> Report:
        left = [limit]

        def advance(count: int) -> None:
            left[0] -= count
            if left[0] < 0:
                raise KeyboardInterrupt

        film, target = open_film(tmp_path / "in"), Target.parse(f"{tmp_path}/{name}/")
        config, direction = VideoConfig(segment_seconds=0), Direction(((0.0, styles),))
        return paint_film(tiny_model, film, target, direction, CONTROLS, config, {}, advance)

    assert paint("whole").notes == ()
    with pytest.raises(KeyboardInterrupt):
        paint("parts", 12)
    assert paint("parts").resumed == 8
    for i in range(20):
        first, second = (
            np.asarray(Image.open(tmp_path / name / f"frame_{i:06d}.png"), int)
            for name in ("whole", "parts")
        )
        assert np.abs(first - second).max() <= 1
