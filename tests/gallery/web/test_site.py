"""The site that `adain export site` writes, in a real browser, from a plain web space."""

import os
import re
import shutil
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.imaging.reading import load_image
from adain.painting.measuring import measure_style
from adain.painting.stylize import stylize_picture
from adain.styles.adapter import Adapter
from adain.styles.statistics import StyleStatistics
from gallery.cli import app
from gallery.database.gallery import Gallery, make_gallery
from gallery.use_cases.previews import example_file
from gallery.use_cases.site import STATIC, choose_paintings, export_site
from gallery.use_cases.styles import stored_style

if TYPE_CHECKING:
    from playwright.sync_api import Page

STYLE = Path(__file__).parents[2] / "data" / "previous_version" / "cafe-terrace.png"

CLOSE = 2
"""Levels of 255 by which a browser's picture may differ."""


class Host(SimpleHTTPRequestHandler):
    down = False

    def do_GET(self) -> None:
        if Host.down:
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Gallery]:
    """The starter gallery, with something learnt of one painting alone."""
    folder = tmp_path_factory.mktemp("gallery")
    with closing(make_gallery(f"sqlite:///{folder}/gallery.db")) as opened:
        for painting in opened.page(limit=200, learnt_for=model.base):
            opened.forget_adapters(painting)
        opened.keep_adapter(opened.find("the-great-wave"), made_up_adapter(model))
        yield opened


def made_up_adapter(model: Model) -> Adapter:
    random = np.random.default_rng(5)
    tensors = {}
    for name, value in model.weights.decoder.items():
        if name.endswith(".weight") and value.ndim == 4:
            inputs = value[0].size
            tensors[f"{name}.up"] = random.normal(0, 0.02, (len(value), 2)).astype(np.float16)
            tensors[f"{name}.down"] = random.normal(0, 0.1, (2, inputs)).astype(np.float16)
            tensors[f"{name}.scale"] = random.normal(0, 0.05, len(value)).astype(np.float16)
    return Adapter(model.base, {k: v.astype(np.float32) for k, v in tensors.items()})


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, gallery: Gallery, model: Model) -> Iterator[str]:
    """A site somewhere in a web space."""
    if not (STATIC / "runtime" / "VERSION").is_file():
        pytest.skip("scripts/fetch_runtime was not run")
    space = tmp_path_factory.mktemp("space")
    chosen = choose_paintings(model, gallery, limit=3)
    export_site(model, chosen, space / "museum" / "paint", "Light & <b>colour</b>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Host, directory=str(space)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/museum/paint/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(url: str) -> Iterator["Page"]:
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no browser: install chromium, or name one in CHROMIUM ({error!s:.80})")
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: foreign(request.url, url, complaints))
        page.goto(url)
        yield page
        browser.close()
    assert not complaints


def foreign(asked: str, url: str, complaints: list[str]) -> None:
    if not asked.startswith((url, "blob:")):
        complaints.append(asked)


def painted(page: "Page") -> np.ndarray[Any, Any]:
    """Return the picture on the page, once it is painted."""
    said = page.get_by_text(re.compile("Painted on this device|did not work"))
    assert "Painted" in said.inner_text()
    link = page.evaluate("document.getElementById('picture').toDataURL('image/png')")
    return np.asarray(Image.open(BytesIO(b64decode(link.partition(",")[2]))).convert("RGB"))


@pytest.mark.slow
def test_a_site_paints_as_the_library_does(
    page: "Page", gallery: Gallery, model: Model, tmp_path: Path
) -> None:
    assert page.title() == "Light & <b>colour</b>"
    photo = tmp_path / "lake.png"
    Image.open(BytesIO(example_file())).resize((301, 202)).save(photo)
    painted(page)
    page.locator("#photo").set_input_files(photo)
    cards = page.locator("#cards button")
    assert cards.count() == 3 and "Wave" in cards.first.inner_text()  # The one that was learnt.

    def away(style: StyleStatistics, alpha: float) -> int:
        page.wait_for_timeout(100)
        wanted = stylize_picture(model, load_image(photo), style, alpha=alpha).to_pil()
        return int(np.abs(painted(page).astype(int) - np.asarray(wanted, int)).max())

    for row, alpha in ((0, 1.0), (0, 0.6), (1, 1.0), (1, 0.05)):
        page.locator("#strength").fill(str(round(100 * alpha)))
        cards.nth(row).click()
        source = cards.nth(row).locator("img").get_attribute("src") or ""
        slug = Path(source.partition("?")[0]).stem
        style = stored_style(model, gallery, gallery.find(slug)).statistics
        assert away(style, alpha) <= CLOSE, (slug, alpha)
    page.locator("#strength").fill("100")
    page.locator("#own").set_input_files(STYLE)
    assert away(measure_style(model, STYLE), 1.0) <= CLOSE


@pytest.mark.slow
def test_a_site_that_was_seen_works_without_a_network(
    page: "Page", monkeypatch: pytest.MonkeyPatch
) -> None:
    painted(page)
    page.reload()  # What the first visit had before the service worker was there is asked for.
    before = painted(page)
    assert page.evaluate("crossOriginIsolated")  # So that threads may be used.
    monkeypatch.setattr(Host, "down", True)
    page.context.set_offline(True)
    page.reload()
    assert np.abs(painted(page).astype(int) - before).max() <= CLOSE


def test_a_site_takes_the_place_of_a_site_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    result = CliRunner().invoke(app, ["export", "site", str(tmp_path), "--overwrite"])
    assert result.exit_code and "holds other files" in result.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["letter.txt"]
