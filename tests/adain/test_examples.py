"""The examples of docstrings do what they say."""

import doctest
import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import adain
import gallery

MODULES = (
    *sorted({f"adain.{module}" for module in adain._MODULES.values()} - {"adain.errors"}),
    "adain.optimizing.pyramid",
    "gallery",
    "gallery.database.dates",
    "gallery.database.paintings",
    "gallery.ingest.connections",
    "gallery.ingest.museums",
)


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, (name, size) in enumerate({"photo": (60, 45), "painting": (72, 64)}.items()):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(f"{name}.jpg")


@pytest.mark.parametrize("name", MODULES)
def test_examples_do_what_they_say(name: str) -> None:
    module = import_module(name)
    known = vars(module) | {"adain": adain}
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(module, globs=known, optionflags=options)
    assert result.failed == 0
    assert result.attempted or name == "adain.engine.model"  # `load_model` shows the use of it.


def test_public_functions_have_examples() -> None:
    public = [getattr(adain, name) for name in adain.__all__]
    functions = [each for each in public if inspect.isfunction(each)]
    assert len(functions) > 7
    for each in (*functions, gallery.style):
        assert ">>>" in (each.__doc__ or ""), each
