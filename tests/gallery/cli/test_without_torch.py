"""Painting, measuring, the gallery, batch and the web need no torch."""

import os
import subprocess
import sys
from pathlib import Path

from pictures import picture

SCRIPT = """
import sys
sys.modules["torch"] = sys.modules["torchvision"] = None
from contextlib import closing
import requests
from serving import running
from adain.engine.loading import load_model
from gallery.cli import app
from gallery.config import database_url
from gallery.database.gallery import make_gallery
from gallery.web.app import create_app
from gallery.web.settings import ServeConfig

for line in '''ingest own.png
    batch in out --style own --style irises --jobs 2
    batch in out --style irises --style senecio --assign nearest
    stylize in/a.png --style own --style irises --preserve-color linear -o a.png
    gallery similar own.png
    gallery preview irises -o preview.jpg
    gallery repair
    gallery export styles.safetensors'''.splitlines():
    try:
        app(line.split(), prog_name="adain")
    except SystemExit as end:
        assert not end.code, (line, end.code)
photo = open("in/a.png", "rb").read()
with closing(make_gallery(database_url())) as gallery:
    with running(create_app(ServeConfig(), load_model(), gallery)) as (url, _):
        root = f"{url}/api/v1"
        assert requests.post(f"{root}/stylize?style=irises", data=photo).status_code == 200
        assert requests.post(f"{root}/statistics?style=own", data=photo).status_code == 200
        assert requests.get(f"{root}/models").json()["models"][0]["device"] == "cpu"
        refused = requests.post(f"{root}/jobs?style=irises&method=render", data=photo)
        assert refused.json()["code"] == "torch-missing"
"""


def test_nothing_but_optimising_and_training_needs_torch(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(picture(64, 48))
    (tmp_path / "own.png").write_bytes(picture(64, 48, seed=1))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
