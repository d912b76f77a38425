"""The page in a real browser: what a person does with it, and what the browser complains about."""

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from serving import running

from adain.engine.loading import load_model
from adain.network.weights import ASSETS
from gallery.database.gallery import make_gallery
from gallery.database.paintings import Painting
from gallery.use_cases.previews import example_file
from gallery.web.app import STATIC, create_app
from gallery.web.keys import add_key, load_keys
from gallery.web.settings import ServeConfig

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

HOSTILE = '<img src=x onerror="document.title=1"></script><b>storm & Sturm'

ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking",
             "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium of the system or of playwright; without one, these tests are skipped."""
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        except sync_api.Error as error:
            pytest.skip(f"no browser: install chromium, or name one in CHROMIUM ({error!s:.80})")
        yield chromium
        chromium.close()


@contextmanager
def serving(folder: Path, config: ServeConfig | None = None, **options: Any) -> Iterator[str]:
    gallery = make_gallery(f"sqlite:///{folder}/gallery.db")
    picture = folder / "storm.png"
    Image.effect_noise((128, 96), 80).convert("RGB").save(picture)
    painting = Painting("", HOSTILE, HOSTILE, sha256="a" * 64, pixel_sha256="b" * 64)
    gallery.add([replace(painting, path=str(picture))])
    app = create_app(config or ServeConfig(), load_model(), gallery, **options)
    with closing(gallery), running(app) as (url, _):
        yield url


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("served")) as address:
        yield address


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[Callable[..., "Page"]]:
    """Open pages of which nothing may be heard: no message, no failed or foreign request."""
    complaints: list[str] = []
    contexts = []

    def start(url: str, quiet: bool = True, **options: Any) -> "Page":
        context = browser.new_context(**{"viewport": {"width": 1300, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        if quiet:
            page.on("console", lambda message: complaints.append(message.text))
            page.on("request", lambda request: check(request.url, url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(url)
        return page

    def check(asked: str, url: str) -> None:
        if not asked.startswith((url.partition("#")[0], "blob:", "data:")):
            complaints.append(f"asked for {asked}")

    yield start
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "lake.jpg"
    path.write_bytes(example_file())
    return str(path)


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A photo that is rendered fast."""
    path = tmp_path / "small.png"
    Image.open(BytesIO(example_file())).resize((96, 64)).save(path)
    return str(path)


def wait_until(page: "Page", condition: str) -> None:
    """Wait for a condition; the page's own waiting would need eval, which the CSP forbids."""
    until = time.monotonic() + 60
    while not page.evaluate(condition):
        assert time.monotonic() < until, condition
        page.wait_for_timeout(30)


def settle(page: "Page") -> None:
    """Wait until the picture is painted in full and shown."""
    done = "byId('stage').dataset.state === 'painted' && byId('working').hidden"
    wait_until(
        page, f"(byId => {done} && byId('after').complete)((id) => document.getElementById(id))"
    )


def stage(page: "Page") -> NDArray[np.int_]:
    """Return the pixels of the easel."""
    shot = page.locator("#after").screenshot()
    return np.asarray(Image.open(BytesIO(shot)).convert("RGB")).astype(int)


def change(first: NDArray[np.int_], second: NDArray[np.int_]) -> float:
    height = min(len(first), len(second))  # An edge may fall between two rows of pixels.
    first, second = first[:height], second[:height]
    return float(np.abs(first - second).mean())


def test_a_photo_is_painted_and_every_control_changes_it(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(url)
    page.set_input_files("#file", photo)
    settle(page)
    first = stage(page)
    page.fill("#words", "senecio")
    page.wait_for_selector(".tile .use[data-style=senecio]")
    page.click(".tile .use[data-style=senecio]")
    settle(page)
    second = stage(page)
    assert change(first, second) > 5
    page.locator("#alpha").fill("0.3")
    settle(page)
    soft = stage(page)
    assert change(second, soft) > 3
    page.locator("#alpha").fill("1")
    page.fill("#words", "irises")
    page.wait_for_selector(".tile .use[data-style=irises]")
    page.locator(".tile:has([data-style=irises]) .add").click()
    settle(page)
    mixed = stage(page)
    assert change(second, mixed) > 2
    assert page.locator(".part").count() == 2
    page.locator("#balance").fill("0.1")
    settle(page)
    assert change(mixed, stage(page)) > 1
    assert page.url.endswith("style=senecio%3D0.9&style=irises%3D0.1")
    assert page.locator("#history button").count() >= 4
    page.locator("#history button").last.click()
    settle(page)
    assert change(first, stage(page)) < 2


def test_the_divider_uncovers_the_photo(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(url)
    page.set_input_files("#file", photo)
    settle(page)
    painted = stage(page)
    page.locator("#split").fill("50")
    half = stage(page)
    middle = painted.shape[1] // 2
    assert change(painted[:, : middle - 20], half[:, : middle - 20]) > 3
    assert change(painted[:, middle + 20 :], half[:, middle + 20 :]) < 1
    page.click("#compare")
    assert page.get_attribute("#compare", "aria-pressed") == "true"
    page.click("#compare")
    page.click("#zoom-in")
    assert "zoomed" in str(page.get_attribute("#stage", "class"))


def test_dropping_pasting_and_the_camera_bring_photos(
    url: str, open_page: Callable[..., "Page"]
) -> None:
    for event, place in (("drop", "#stage"), ("paste", "body")):
        page = open_page(url)
        page.evaluate(
            """async ([event, place]) => {
              const blob = await (await fetch("/api/v1/example")).blob();
              const data = new DataTransfer();
              data.items.add(new File([blob], "dropped.jpg", { type: "image/jpeg" }));
              const made = event === "drop"
                ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
              document.querySelector(place).dispatchEvent(made);
            }""",
            [event, place],
        )
        settle(page)
    page = open_page(url, permissions=["camera"])
    page.click("#take")
    wait_until(page, "document.getElementById('video').videoWidth > 0")
    page.click("#shoot")
    settle(page)
    assert not page.locator("#camera").is_visible()


def test_the_camera_is_painted_live_and_recorded(
    url: str, open_page: Callable[..., "Page"], tmp_path: Path
) -> None:
    page = open_page(f"{url}#style=irises", permissions=["camera"])
    page.wait_for_selector(".tile")
    page.click("#live")
    wait_until(page, "document.getElementById('rate').textContent.includes('per second')")
    assert page.get_attribute("#rate", "data-way") == "socket"
    first = page.get_attribute("#after", "src")
    wait_until(page, f"document.getElementById('after').src !== '{first}'")
    page.fill("#words", "senecio")
    wait_until(page, "document.querySelectorAll('.tile').length === 1")
    page.click(".tile .use")
    before = page.get_attribute("#after", "src")
    wait_until(page, f"document.getElementById('after').src !== '{before}'")
    page.click("#record")
    for _ in range(3):
        before = page.get_attribute("#after", "src")
        wait_until(page, f"document.getElementById('after').src !== '{before}'")
    with page.expect_download() as begun:
        page.click("#record")
    assert begun.value.suggested_filename == "live.webm"
    begun.value.save_as(tmp_path / "live.webm")
    assert (tmp_path / "live.webm").read_bytes()[:4] == b"\x1aE\xdf\xa3"
    assert page.inner_text("#record") == "Record"
    page.click("#keep")
    page.wait_for_selector("#live-bar", state="hidden")
    settle(page)
    assert page.locator(".part .name").inner_text() == "Senecio"


def test_without_a_socket_live_frames_are_requests(
    url: str, open_page: Callable[..., "Page"]
) -> None:
    page = open_page(f"{url}#style=irises", quiet=False, permissions=["camera"])
    page.route_web_socket("**/api/v1/live", lambda socket: socket.close())
    page.wait_for_selector(".tile")
    page.click("#live")
    wait_until(page, "document.getElementById('rate').dataset.way === 'requests'")
    first = page.get_attribute("#after", "src")
    wait_until(page, f"document.getElementById('after').src !== '{first}'")


def test_a_socket_that_was_lost_is_opened_again(url: str, open_page: Callable[..., "Page"]) -> None:
    page = open_page(f"{url}#style=irises", quiet=False, permissions=["camera"])
    lost: list[Any] = []

    def route(socket: Any) -> None:
        socket.connect_to_server()
        lost.append(socket)

    page.route_web_socket("**/api/v1/live", route)
    page.wait_for_selector(".tile")
    page.click("#live")
    wait_until(page, "document.getElementById('rate').dataset.way === 'socket'")
    lost[0].close()
    wait_until(page, "document.getElementById('rate').dataset.way === 'requests'")
    wait_until(page, "document.getElementById('rate').dataset.way === 'socket'")
    assert len(lost) == 2


def test_live_painting_stops_and_begins_again(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(f"{url}#style=irises", permissions=["camera"])
    page.wait_for_selector(".tile")
    page.click("#live")
    wait_until(page, "document.getElementById('rate').textContent.includes('per second')")
    page.click("#live-stop")
    settle(page)
    assert page.is_visible("#welcome")
    page.set_input_files("#file", photo)
    settle(page)
    painted = stage(page)
    page.click("#another summary")
    page.click("#another [data-way=live]")
    page.wait_for_selector("#live-bar", state="visible")
    wait_until(page, "document.getElementById('rate').textContent.includes('per second')")
    page.click("#live-stop")
    settle(page)
    assert change(painted, stage(page)) < 2


def use_own(page: "Page", folder: Path) -> None:
    """Paint in the style of a painting whose picture is at hand: best quality needs one."""
    own = folder / "stripes.png"
    Image.linear_gradient("L").convert("RGB").resize((300, 200)).save(own)
    page.set_input_files("#own-file", str(own))
    wait_until(page, "document.querySelector('.part .name')?.textContent === 'stripes.png'")
    settle(page)


def test_the_best_picture_is_a_job_that_outlives_the_page(
    url: str, open_page: Callable[..., "Page"], small: str, tmp_path: Path
) -> None:
    page = open_page(f"{url}#style=irises")
    page.set_input_files("#file", small)
    settle(page)
    assert not page.is_visible("#best")  # Of Irises only statistics are at hand.
    use_own(page, tmp_path)
    page.click("#best")
    wait_until(page, "localStorage.getItem('adain-render') !== null")
    page.reload()
    wait_until(page, "document.getElementById('render-loss-line').points.length > 2")
    assert page.inner_text("#render-title") == "Best quality: stripes.png"
    page.wait_for_selector("#render-save", state="visible")
    assert page.locator("#render-progress").evaluate("bar => bar.value") == 1
    with page.expect_download() as waiting:
        page.click("#render-save")
    assert waiting.value.suggested_filename == "small.best.png"
    assert Image.open(BytesIO(waiting.value.path().read_bytes())).size == (96, 64)
    page.click("#render-close")
    page.reload()
    page.wait_for_selector(".tile")
    assert not page.is_visible("#render-box")


def test_the_best_picture_is_given_up(
    url: str, open_page: Callable[..., "Page"], photo: str, tmp_path: Path
) -> None:
    page = open_page(f"{url}#style=irises")
    page.set_input_files("#file", photo)
    use_own(page, tmp_path)
    page.click("#best")
    assert page.locator("#best").is_disabled()
    wait_until(page, "!document.getElementById('render-picture').hidden")
    page.click("#render-stop")
    wait_until(page, "document.getElementById('render-state').textContent === 'Cancelled.'")
    wait_until(page, "!document.getElementById('best').disabled")  # Once the events have ended.


def test_the_inside_of_the_network_is_drawn(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(f"{url}#style=irises")
    page.set_input_files("#file", photo)
    settle(page)
    page.click("#inside summary")
    wait_until(page, "document.getElementById('std-text').textContent.includes('relu3_1')")
    wait_until(page, "document.getElementById('maps').naturalWidth > 100")
    channels = page.evaluate("document.getElementById('mean-photo').points.length")
    heights = "[...document.getElementById('mean-{}').points].map(point => point.y)"
    photo_line = page.evaluate(heights.format("photo"))
    assert channels > 10 and photo_line == sorted(photo_line, reverse=True)
    assert page.evaluate(heights.format("style")) != photo_line
    page.select_option("#layer", "relu1_1")
    wait_until(page, "document.getElementById('std-text').textContent.includes('relu1_1')")


def test_a_painting_of_ones_own_is_a_style(
    url: str, open_page: Callable[..., "Page"], photo: str, tmp_path: Path
) -> None:
    page = open_page(url)
    page.set_input_files("#file", photo)
    settle(page)
    first = stage(page)
    use_own(page, tmp_path)
    assert change(first, stage(page)) > 5
    assert page.evaluate("document.querySelector('.part img').naturalWidth") == 300


def test_three_styles_have_a_triangle(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(f"{url}#style=irises=1&style=senecio=1&style=water-lilies=1")
    page.set_input_files("#file", photo)
    settle(page)
    first = stage(page)
    assert page.locator(".part").count() == 3
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.12)
    settle(page)
    assert change(first, stage(page)) > 1
    shares = [float(page.locator(".part input").nth(i).input_value()) for i in range(3)]
    assert shares[0] > 0.9 and shares[1] < 0.1
    pad.focus()
    page.keyboard.press("ArrowDown")
    settle(page)
    assert float(page.locator(".part input").nth(0).input_value()) < shares[0]


def drag(page: "Page", selector: str, *places: tuple[float, float]) -> None:
    """Draw a line over an element, through places in shares of its width and height."""
    box = page.locator(selector).bounding_box()
    assert box
    for i, (x, y) in enumerate(places):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        if i == 0:
            page.mouse.down()
    page.mouse.up()


def test_a_brush_says_where_each_style_goes(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(f"{url}#style=irises=1&style=senecio=1")
    page.set_input_files("#file", photo)
    settle(page)
    page.click("#brush")
    page.locator("#brush-size").fill("30")
    drag(page, "#regions", (0.25, 0.3), (0.25, 0.7), (0.3, 0.3))
    settle(page)
    assert "mask-2.png" in str(page.text_content("#command-text"))
    assert not page.is_visible("#balance")
    page.click("#brush-done")
    masked = stage(page)
    page.click("#brush")
    page.click("#undo")
    settle(page)
    page.click("#swatches label:has-text('Original')")
    drag(page, "#regions", (0.25, 0.3), (0.25, 0.7), (0.3, 0.3))
    settle(page)
    page.click("#brush-done")
    bare = stage(page)
    half = masked.shape[1] // 2
    painted = change(masked[:, :half], bare[:, :half])
    assert painted > 2
    assert change(masked[:, -half // 2 :], bare[:, -half // 2 :]) < painted / 2
    page.click("#brush")
    page.click("#clear")
    settle(page)
    assert "--mask" not in str(page.text_content("#command-text"))
    page.click("#brush-done")
    assert change(bare, stage(page)) > 2
    page.locator("#history button").nth(1).click()
    settle(page)
    assert change(bare, stage(page)) < 1


def test_a_link_says_what_the_brush_painted(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(f"{url}#style=irises=1&style=senecio=1")
    page.set_input_files("#file", photo)
    settle(page)
    page.click("#brush")
    drag(page, "#regions", (0.25, 0.3), (0.25, 0.7), (0.3, 0.3))
    page.click("#swatches label:has-text('Original')")
    drag(page, "#regions", (0.8, 0.3), (0.8, 0.9))
    settle(page)
    page.click("#brush-done")
    assert "&regions=1" in page.url
    other = open_page(page.url)
    assert "&regions=1" in other.url
    other.set_input_files("#file", photo)
    settle(other)
    assert "mask-2.png" in str(other.text_content("#command-text"))
    assert change(stage(page), stage(other)) < 1
    other.click("#brush")
    other.click("#clear")
    settle(other)
    assert "regions" not in other.url
    for regions in ("9zzzz", "1", "..", "1!!!!", "0" * 9000):
        other.evaluate(f"location.hash += '&regions={regions}'")
        wait_until(other, "!location.hash.includes('regions')")
        settle(other)


def test_the_best_picture_has_regions(
    url: str, open_page: Callable[..., "Page"], small: str, tmp_path: Path
) -> None:
    page = open_page(f"{url}#style=irises")
    page.set_input_files("#file", small)
    use_own(page, tmp_path)
    page.click("#brush")
    page.locator("#brush-size").fill("40")
    drag(page, "#regions", (0.25, 0.2), (0.25, 0.8), (0.25, 0.2))  # The bare photo.
    settle(page)
    page.click("#brush-done")
    page.locator("#split").fill("100")
    bare = stage(page)
    page.locator("#split").fill("0")
    page.click("#best")
    wait_until(page, "!document.getElementById('render-save').hidden")
    changed = np.abs(stage(page) - bare).mean(2)
    height, width = changed.shape
    middle = changed[int(0.4 * height) : int(0.6 * height)]
    painted = middle[:, width // 2 :].mean()
    assert painted > 6
    assert middle[:, int(0.2 * width) : int(0.3 * width)].mean() < painted / 2


def test_the_brush_is_held_by_keys(
    url: str, open_page: Callable[..., "Page"], photo: str, tmp_path: Path
) -> None:
    page = open_page(f"{url}#style=irises=1&style=senecio=1")
    page.set_input_files("#file", photo)
    settle(page)
    page.focus("#brush")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "regions"
    for key in ("2", "]", "]", "Shift+ArrowLeft", "Shift+ArrowLeft", "ArrowUp", " "):
        page.keyboard.press(key)
    assert "Painted at 34 % from the left, 48 % from the top" in page.inner_text("#status")
    settle(page)
    with page.expect_download() as waiting:
        page.focus("#regions-save")
        page.keyboard.press("Enter")
    mask = np.asarray(Image.open(BytesIO(waiting.value.path().read_bytes())).convert("L")).astype(
        int
    )
    height, width = mask.shape
    dab = mask[round(0.48 * height), round(0.34 * width)]
    assert abs(dab - 127) < 10 and mask[0, -1] == 255
    page.focus("#regions")
    page.keyboard.press("Control+z")
    assert page.locator("#undo").is_disabled()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "brush"


def test_faces_are_kept(url: str, open_page: Callable[..., "Page"]) -> None:
    page = open_page(f"{url}#style=irises")
    page.set_input_files("#file", ASSETS / "photos" / "astronaut.jpg")
    settle(page)
    shown = stage(page)
    page.check("#faces")
    settle(page)
    assert str(page.text_content("#command-text")).endswith("--style irises --keep face")
    assert page.url.endswith("keep=face")
    height, width = shown.shape[:2]
    head = np.s_[int(0.2 * height) : int(0.45 * height), int(0.35 * width) : int(0.6 * width)]
    kept = stage(page)
    assert change(shown[head], kept[head]) > 3
    wait_until(page, "document.getElementById('faces-found').textContent === '1 face found'")
    page.hover("#faces")
    assert page.is_visible("#found")
    tint = page.evaluate("""(() => {
        const found = document.getElementById("found"), { width, height } = found;
        const { data } = found.getContext("2d").getImageData(0, 0, width, height);
        const at = (x, y) => data[4 * (Math.round(y * height) * width + Math.round(x * width)) + 3];
        return [at(0.44, 0.3), at(0.02, 0.9)];
    })()""")
    assert tint == [102, 0]
    page.mouse.move(1, 1)
    assert page.is_hidden("#found")
    page.reload()
    settle(page)
    assert page.is_checked("#faces")
    page.set_input_files("#file", ASSETS / "photos" / "coffee.jpg")
    wait_until(page, "document.getElementById('faces-found').textContent.startsWith('No face')")
    page.uncheck("#faces")
    assert page.text_content("#faces-found") == ""


def test_strokes_and_colors_are_chosen(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(f"{url}#style=irises&stroke=9&preserve_color=linear&photorealistic=true")
    page.set_input_files("#file", photo)
    settle(page)
    command = str(page.text_content("#command-text"))
    assert command.endswith("--style irises --stroke 1.41 --preserve-color linear --photorealistic")
    shown = stage(page)
    page.uncheck("#photorealistic")
    settle(page)
    assert change(shown, stage(page)) > 1
    shown = stage(page)
    page.select_option("#colors", "none")
    settle(page)
    assert change(shown, stage(page)) > 3
    shown = stage(page)
    page.locator("#stroke").fill("-1")
    settle(page)
    assert change(shown, stage(page)) > 1
    assert page.url.endswith("#style=irises&stroke=0.5")
    page.click("#plain")
    settle(page)
    assert page.url.endswith("#style=irises")


def test_search_artists_movements_and_likeness_find_paintings(
    url: str, open_page: Callable[..., "Page"]
) -> None:
    page = open_page(url)
    page.wait_for_selector(".tile")
    page.fill("#words", "monet")
    wait_until(page, "document.querySelector('.tile .by')?.textContent.includes('Monet') === true")
    page.fill("#words", "zzzzzz")
    page.wait_for_selector("#nothing", state="visible")
    page.fill("#words", "")
    wait_until(page, "document.getElementById('artist').options.length > 100")
    page.select_option("#artist", "claude-monet")
    wait_until(page, "document.querySelectorAll('.tile').length < 24")
    page.click("#group-style")
    assert page.locator(".part .name").text_content() == "Claude Monet"
    page.select_option("#movement", index=1)
    assert page.input_value("#artist") == ""
    settle(page)
    page.locator(".tile .use").first.click()
    page.get_by_role("button", name="More like").click()
    wait_until(page, "document.getElementById('heading').textContent.startsWith('Like ')")
    wait_until(page, "document.querySelectorAll('.tile').length === 48")


def test_tiles_go_on_while_one_scrolls(url: str, open_page: Callable[..., "Page"]) -> None:
    page = open_page(url)
    page.wait_for_selector(".tile")
    before = page.locator(".tile").count()
    page.mouse.wheel(0, 6000)
    wait_until(page, f"document.querySelectorAll('.tile').length > {before}")


def test_everything_can_be_done_by_keyboard(url: str, open_page: Callable[..., "Page"]) -> None:
    page = open_page(url)
    page.wait_for_selector(".tile")

    def focus(selector: str, key: str = "Tab") -> None:
        for _ in range(40):
            page.keyboard.press(key)
            if page.evaluate(f"document.activeElement.matches('{selector}')"):
                return
        raise AssertionError(f"{selector} is not reached by {key}")

    settle(page)
    first = stage(page)
    page.keyboard.press("/")
    page.keyboard.type("senecio")
    wait_until(page, "document.querySelectorAll('.tile').length === 1")
    focus(".tile .use")
    page.keyboard.press("Enter")
    settle(page)
    second = stage(page)
    assert change(first, second) > 5
    focus("#alpha", "Shift+Tab")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    settle(page)
    assert page.input_value("#alpha") == "0.5"
    assert change(second, stage(page)) > 2
    page.keyboard.press("/")
    page.fill("#words", "")
    wait_until(page, "document.querySelectorAll('.tile').length >= 24")
    focus(".tile .use")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    settle(page)
    assert page.locator(".part").count() == 2
    assert page.inner_text("#status").startswith("Painted in the style of")


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_sideways_scrolling(
    url: str, open_page: Callable[..., "Page"], width: int
) -> None:
    phone = {"viewport": {"width": width, "height": 740}, "is_mobile": True, "has_touch": True}
    page = open_page(url, **phone)
    settle(page)
    page.locator(".tile .add").nth(1).tap()
    page.locator(".tile .add").nth(2).tap()
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in ("#words", "#alpha", "#download summary", ".tile .use"):
        box = page.locator(selector).first.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
        assert box["height"] >= 24


def test_a_download_has_the_size_of_the_photo(
    url: str, open_page: Callable[..., "Page"], tmp_path: Path
) -> None:
    path = tmp_path / "wide.png"
    Image.effect_noise((1500, 900), 60).convert("RGB").save(path)
    page = open_page(f"{url}#style=irises&alpha=0.8")
    page.set_input_files("#file", str(path))
    settle(page)
    for format, suffix in (("png", "png"), ("jpeg", "jpg")):
        page.click("#download summary")
        with page.expect_download() as waiting:
            page.click(f"#download [data-format={format}]")
        assert waiting.value.suggested_filename == f"wide.irises.{suffix}"
        image = Image.open(BytesIO(waiting.value.path().read_bytes()))
        assert image.size == (1500, 900)
        assert str(image.format).lower() == format


def test_the_command_line_paints_the_same_picture(
    url: str, open_page: Callable[..., "Page"], photo: str, tmp_path: Path
) -> None:
    page = open_page(f"{url}#style=irises=0.75&style=senecio=0.25&alpha=0.8")
    page.set_input_files("#file", photo)
    settle(page)
    words = str(page.text_content("#command-text")).split()
    assert words[:3] == ["adain", "stylize", "lake.jpg"]
    page.click("#download summary")
    with page.expect_download() as waiting:
        page.click("#download [data-format=png]")
    output = tmp_path / "same.png"
    command = [sys.executable, "-m", "gallery", *words[1:], "-o", str(output)]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120,
                   env=os.environ | {"PYTHONPATH": os.getcwd()})  # fmt: skip
    there, here = (
        np.asarray(Image.open(BytesIO(path.read_bytes()))).astype(int)
        for path in (waiting.value.path(), output)
    )
    assert np.abs(there - here).max() <= 2


def test_a_link_restores_the_settings(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(f"{url}#style=irises=0.7&style=artist:claude-monet=0.3&alpha=0.45")
    page.set_input_files("#file", photo)
    settle(page)
    assert page.locator(".part .name").all_inner_texts() == ["Irises", "Claude Monet"]
    assert page.input_value("#alpha") == "0.45"
    page = open_page(f"{url}#style=no-such-painting&alpha=oops&stroke=0.1", quiet=False)
    page.set_input_files("#file", photo)
    settle(page)
    assert page.locator(".part").count() == 1
    values = [page.input_value(f"#{name}") for name in ("alpha", "stroke")]
    assert values == ["1", "-1"]  # As far as looks right.


def test_titles_are_only_ever_text(url: str, open_page: Callable[..., "Page"]) -> None:
    page = open_page(url)
    page.fill("#words", "sturm")
    wait_until(page, "document.querySelectorAll('.tile').length === 1")
    assert page.locator(".tile .name").inner_text() == HOSTILE
    page.click(".tile .use")
    settle(page)
    assert page.locator(".part .name").inner_text() == HOSTILE
    assert page.title() != "1"


def test_a_service_that_went_away_is_told_and_waited_for(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(url, quiet=False)
    page.set_input_files("#file", photo)
    settle(page)
    before = stage(page)
    page.route("**/api/v1/**", lambda route: route.abort())
    page.locator("#alpha").fill("0.2")
    page.wait_for_selector("#notice", state="visible")
    assert "does not answer" in page.inner_text("#notice")
    page.unroute("**/api/v1/**")
    page.wait_for_selector("#notice", state="hidden")
    settle(page)
    assert change(before, stage(page)) > 3


def test_a_service_that_comes_later_is_waited_for(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(url, quiet=False)
    page.context.route("**/api/v1/**", lambda route: route.abort())
    page.goto(f"{url}?again#style=irises")
    page.wait_for_selector("#notice", state="visible")
    page.set_input_files("#file", photo)
    assert page.inner_text("#more") == "Try again" and page.locator(".tile").count() == 0
    page.context.unroute("**/api/v1/**")
    settle(page)
    assert page.locator(".part .name").inner_text() == "Irises"
    wait_until(page, "document.getElementById('artist').options.length > 100")
    wait_until(page, "document.querySelectorAll('.tile').length >= 24")


def test_what_is_no_photo_is_told(
    url: str, open_page: Callable[..., "Page"], tmp_path: Path
) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture")
    page = open_page(url, quiet=False)  # The browser tells that the service refused it.
    page.set_input_files("#file", str(path))
    page.wait_for_selector("#notice", state="visible")
    assert "can read that file" in page.inner_text("#notice")


def test_a_locked_service_asks_for_its_key(
    open_page: Callable[..., "Page"], tmp_path: Path, photo: str
) -> None:
    secret = add_key(tmp_path / "keys.json", "anna", "stylize")
    with serving(tmp_path, keys=load_keys(tmp_path / "keys.json")) as url:
        page = open_page(url, quiet=False)
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#key[aria-invalid]")
        page.fill("#key", secret)
        page.keyboard.press("Enter")
        page.wait_for_selector(".tile")
        wait_until(page, "document.querySelector('.tile img').naturalWidth > 0")
        page.set_input_files("#file", photo)
        settle(page)
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(
    url: str, open_page: Callable[..., "Page"], scheme: str
) -> None:
    page = open_page(url, color_scheme=scheme)

    def luminance(name: str) -> float:
        color = str(page.evaluate(
            f"getComputedStyle(document.documentElement).getPropertyValue('{name}')"
        )).strip()  # fmt: skip
        channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for ink, ground in (("--ink", "--paper"), ("--ink", "--sheet"), ("--faded", "--paper"),
                        ("--faded", "--sheet"), ("--on-pigment", "--pigment")):  # fmt: skip
        light, dark = sorted((luminance(ink), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)  # WCAG 2.2, 1.4.3


# By touch, for screen readers, without the service


def touch(page: "Page", *strokes: list[tuple[float, float]]) -> None:
    """Draw one line with each finger, all at once, through points of the window."""
    session = page.context.new_cdp_session(page)
    for i, places in enumerate(zip(*strokes, strict=True)):
        points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(places)]
        kind = "touchMove" if i else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def line(page: "Page", selector: str, *ends: tuple[float, float]) -> list[tuple[float, float]]:
    """Return points on the way between two, which are in shares of an element's size."""
    box = page.locator(selector).bounding_box()
    assert box
    (x, y), (to_x, to_y) = (
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ends
    )
    return [(x + (to_x - x) * i / 8, y + (to_y - y) * i / 8) for i in range(9)]


def test_fingers_move_the_divider_the_pad_and_the_brush_and_zoom(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = open_page(f"{url}#style=irises=1&style=senecio=1&style=water-lilies=1", **phone)
    page.set_input_files("#file", photo)
    settle(page)
    touch(page, line(page, "#canvas", (0.2, 0.5), (0.6, 0.5)))
    assert 50 < int(page.input_value("#split")) < 70
    two = line(page, "#stage", (0.4, 0.5), (0.1, 0.5)), line(page, "#stage", (0.6, 0.5), (0.9, 0.5))
    touch(page, *two)
    assert "zoomed" in str(page.get_attribute("#stage", "class"))
    touch(page, *(list(reversed(stroke)) for stroke in two))
    assert "zoomed" not in str(page.get_attribute("#stage", "class"))
    page.locator("#pad").scroll_into_view_if_needed()
    touch(page, line(page, "#pad", (0.5, 0.6), (0.5, 0.12)))
    settle(page)
    assert float(page.locator(".part input").first.input_value()) > 0.9
    page.locator("#brush").tap()
    page.wait_for_timeout(700)
    touch(page, line(page, "#regions", (0.3, 0.5), (0.7, 0.5)))
    settle(page)
    assert "--mask" in str(page.text_content("#command-text"))


CONTROLS = {"button", "checkbox", "combobox", "link", "radio", "searchbox", "slider", "textbox",
            "application", "radiogroup", "progressbar", "image", "DisclosureTriangle"}  # fmt: skip


def nameless(page: "Page") -> list[str]:
    """Return what a screen reader could only call by its kind."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    return [
        f"{node['role']['value']}: {node.get('properties')}"
        for node in tree["nodes"]
        if not node["ignored"] and node["role"]["value"] in CONTROLS and not node["name"]["value"]
    ]


def test_everything_has_a_name_for_screen_readers(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(f"{url}#style=irises=1&style=senecio=1&style=water-lilies=1")
    page.wait_for_selector(".tile")
    assert not nameless(page)
    page.set_input_files("#file", photo)
    settle(page)
    page.click("#brush")
    page.click("#inside summary")
    wait_until(page, "document.getElementById('std-text').textContent !== ''")
    page.click("#share summary")
    assert not nameless(page)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    headings = page.locator("h1, h2").all_inner_texts()
    assert headings[0] == "adain"


def test_links_within_the_page_keep_the_settings(
    url: str, open_page: Callable[..., "Page"]
) -> None:
    page = open_page(f"{url}#style=irises&alpha=0.5")
    page.wait_for_selector(".tile")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip jump"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "gallery"
    assert page.url.endswith("#style=irises&alpha=0.5")


def test_the_page_opens_without_the_service_and_says_so(
    open_page: Callable[..., "Page"], tmp_path: Path
) -> None:
    with serving(tmp_path) as url:
        page = open_page(url, quiet=False)
        page.wait_for_selector(".tile")
        page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.reload()
    page.wait_for_selector("#notice", state="visible")
    assert "does not answer" in page.inner_text("#notice")
    page.wait_for_selector("#welcome", state="visible")
    kept = page.evaluate("""caches.open("adain-page").then((cache) => cache.keys())
                            .then((keys) => keys.map((key) => new URL(key.url).pathname))""")
    files = {f"/static/{path.name}" for path in STATIC.iterdir() if path.is_file()}
    assert set(kept) == files - {"/static/index.html", "/static/offline.js"} | {"/"}


def test_the_page_can_be_installed(url: str, open_page: Callable[..., "Page"]) -> None:
    page = open_page(url)
    manifest = page.evaluate("fetch('/static/manifest.webmanifest').then((all) => all.json())")
    for icon in manifest["icons"]:
        data = page.request.get(f"{url}/static/{icon['src']}").body()
        if icon["type"] == "image/png":
            assert Image.open(BytesIO(data)).size == tuple(map(int, icon["sizes"].split("x")))
        assert len(data) < 30_000
    assert {icon.get("purpose", "any") for icon in manifest["icons"]} == {"any", "maskable"}
    session = page.context.new_cdp_session(page)
    assert not session.send("Page.getAppManifest")["errors"]
    errors = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [error["errorId"] for error in errors] in ([], ["in-incognito"])


# What is shown is what is saved


def saved(page: "Page", format: str) -> bytes:
    """Download the picture that is shown."""
    page.click("#download summary")
    with page.expect_download() as waiting:
        page.click(f"#download [data-format={format}]")
    return waiting.value.path().read_bytes()


def pixels(data: bytes) -> NDArray[np.int_]:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


def test_whatever_is_shown_is_saved_copied_and_told(
    url: str, open_page: Callable[..., "Page"], small: str, tmp_path: Path
) -> None:
    page = open_page(url, permissions=["clipboard-read", "clipboard-write"])
    page.set_input_files("#file", small)
    use_own(page, tmp_path)
    passed = pixels(saved(page, "png"))
    page.click("#best")
    page.wait_for_selector("#render-save", state="visible")
    assert page.inner_text("#status").startswith("Painted in best quality")
    assert "adain render small.png" in str(page.text_content("#command-text"))
    with page.expect_download() as waiting:
        page.click("#render-save")
    best = pixels(waiting.value.path().read_bytes())
    assert change(passed, best) > 2
    assert np.array_equal(pixels(saved(page, "png")), best)
    jpeg = pixels(saved(page, "jpeg"))
    assert change(jpeg, best) < change(jpeg, passed)
    page.click("#share summary")
    page.click("#copy-picture")
    wait_until(page, "document.getElementById('status').textContent === 'Picture copied.'")
    copied = page.evaluate("""navigator.clipboard.read()
        .then((items) => items[0].getType("image/png"))
        .then((blob) => blob.arrayBuffer()).then((data) => [...new Uint8Array(data)])""")
    assert np.array_equal(pixels(bytes(copied)), best)
    # Compared with the photo it is still the best picture; an earlier one is saved as itself again.
    shown = stage(page)
    page.click("#compare")
    assert change(stage(page), shown) > 2
    page.click("#compare")
    assert change(stage(page), shown) < 1
    page.locator("#history button").nth(1).click()
    settle(page)
    assert np.array_equal(pixels(saved(page, "png")), passed)
    page.locator("#history button[title*='best quality']").click()
    assert np.array_equal(pixels(saved(page, "png")), best)


def test_a_large_photo_is_saved_in_its_size_as_a_job(
    url: str, open_page: Callable[..., "Page"], tmp_path: Path
) -> None:
    path = tmp_path / "large.jpg"
    Image.radial_gradient("L").convert("RGB").resize((2200, 1400)).save(path)
    page = open_page(f"{url}#style=irises")
    page.set_input_files("#file", str(path))
    settle(page)
    page.click("#download summary")
    wait_until(page, "document.getElementById('size-text').textContent !== ''")
    assert "2200 \N{MULTIPLICATION SIGN} 1400 pixels, the size of the photo" in page.inner_text(
        "#size-text"
    )
    page.click("#download summary")
    assert Image.open(BytesIO(saved(page, "jpeg"))).size == (2200, 1400)


def test_what_the_service_limits_is_said_before(
    open_page: Callable[..., "Page"], tmp_path: Path
) -> None:
    path = tmp_path / "wide.png"
    Image.effect_noise((1100, 700), 60).convert("RGB").save(path)
    with serving(tmp_path, ServeConfig(max_side=512, max_pixels=1100 * 700 - 1)) as url:
        page = open_page(f"{url}#style=irises")
        page.set_input_files("#file", str(path))
        settle(page)
        page.click("#download summary")
        wait_until(page, "document.getElementById('size-text').textContent !== ''")
        text = page.inner_text("#size-text").replace("\N{MULTIPLICATION SIGN}", "x")
        assert "512 x 326 pixels, not 1100 x 700: the service paints at most 512 pixels" in text
        page.click("#download summary")
        assert Image.open(BytesIO(saved(page, "png"))).size == (512, 326)
        page.context.close()


# The first view, and the visitor's own photo everywhere


def test_the_first_view_is_a_painted_example_that_changes_as_one_points_at_cards(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    page = open_page(url)
    settle(page)
    assert page.is_visible("#welcome")
    first = stage(page)
    page.hover(".tile:nth-child(5) .use")
    wait_until(page, "document.getElementById('stage').dataset.state === 'draft'")
    assert change(first, stage(page)) > 3
    assert page.inner_text("#status").startswith("As ")
    page.hover("h1")
    settle(page)
    assert page.inner_text("#status").startswith("Painted in the style of")
    assert change(first, stage(page)) < 1
    assert page.locator("#history button").count() == 1
    page.set_input_files("#file", photo)
    settle(page)
    assert not page.is_visible("#welcome")


def test_cards_show_the_visitors_photo_and_only_those_in_view_are_painted(
    url: str, open_page: Callable[..., "Page"], small: str
) -> None:
    page = open_page(url, viewport={"width": 1300, "height": 500})
    settle(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_input_files("#file", small)
    settle(page)
    first = ".tile:nth-child(2) .card"
    wait_until(page, f"!document.querySelector('{first}').classList.contains('waiting')")
    assert str(page.get_attribute(first, "src")).startswith("blob:")
    page.wait_for_timeout(1500)
    in_view = page.evaluate("""[...document.querySelectorAll('.tile .card')].filter((card) =>
        card.getBoundingClientRect().top < innerHeight).length""")
    cards = [each for each in asked if "quality=80" in each]
    assert 0 < len(cards) <= in_view + 1 < 24  # The chip of the style in use is one more
    painted = page.locator(".tile .card:not(.waiting)").count()
    assert len(cards) - 1 <= painted <= len(cards)


def test_a_photo_that_only_the_service_can_read_is_read_there(
    url: str, open_page: Callable[..., "Page"], tmp_path: Path, photo: str
) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "phone.heic"
    heif.from_pillow(Image.open(photo).resize((1100, 880))).save(path)
    page = open_page(f"{url}#style=irises")
    page.set_input_files("#file", str(path))
    settle(page)
    assert Image.open(BytesIO(saved(page, "jpeg"))).size == (1100, 880)


def test_several_photos_are_seen_at_once_and_saved_as_a_zip(
    url: str, open_page: Callable[..., "Page"], small: str, photo: str, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    twin = tmp_path / "twin" / "small.png"
    twin.parent.mkdir()
    shutil.copy(small, twin)
    page = open_page(f"{url}#style=irises", quiet=False)
    page.set_input_files("#file", [small, photo, str(twin), str(tmp_path / "notes.txt")])
    settle(page)
    assert "Cannot be read: notes.txt" in page.inner_text("#notice")
    assert page.inner_text("#many-title") == "3 photos"
    page.locator("#many button").nth(1).click()
    settle(page)
    assert "lake.jpg" in str(page.text_content("#command-text"))
    with page.expect_download() as waiting:
        page.click("#many-zip")
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["small.jpg", "lake.jpg", "small 2.jpg"]
        sizes = [Image.open(BytesIO(archive.read(name))).size for name in archive.namelist()]
    assert sizes == [(96, 64), (500, 400), (96, 64)]


def test_favourites_and_learnt_paintings(url: str, open_page: Callable[..., "Page"]) -> None:
    page = open_page(url)

    def learnt(route: Any) -> None:
        answer = route.fetch(url=route.request.url.replace("learnt=true", "")).json()
        answer["paintings"] = [answer["paintings"][3] | {"learnt": True}]
        route.fulfill(json=answer | {"next": None})

    page.route("**/api/v1/paintings?*learnt=true", learnt)
    page.reload()
    page.wait_for_selector(".tile .learnt")
    assert page.locator(".tile").first.locator(".learnt").is_visible()
    assert page.locator(".tile").count() == 24  # None of them is there twice.
    name = page.locator(".tile .name").nth(1).inner_text()
    page.locator(".tile .use").nth(1).focus()
    page.keyboard.press("*")
    page.unroute("**/api/v1/paintings?*learnt=true")
    page.reload()
    page.click("#favourites")
    assert page.locator(".tile .name").all_inner_texts() == [name]
    page.click("#favourites")
    wait_until(page, "document.querySelectorAll('.tile').length >= 24")


# Paintings


def test_a_card_tells_of_its_painting(url: str, open_page: Callable[..., "Page"]) -> None:
    page = open_page(url)
    settle(page)
    page.fill("#words", "irises")
    page.wait_for_selector(".tile .use[data-style=irises]")
    wait_until(page, "document.querySelectorAll('.tile').length < 5")
    page.hover(".tile .use[data-style=irises]")
    wait_until(page, "document.querySelectorAll('.tile .strip > span').length === 8")
    page.focus(".tile .use[data-style=irises]")
    page.keyboard.press("i")
    page.wait_for_selector("#details[open]")
    assert page.locator("#details-colors > span").count() == 8
    assert "Irises+Vincent+van+Gogh" in str(page.get_attribute("#details-page", "href"))
    assert not page.is_visible("#learn")  # Its picture is not at hand.
    page.keyboard.press("Escape")
    page.fill("#words", "storm sturm")
    card = page.locator(".tile .use", has_text="Sturm")
    card.wait_for()
    page.mouse.move(5, 5)
    finger = {"pointerType": "touch", "clientX": 9, "clientY": 9}
    card.dispatch_event("pointerdown", finger)
    page.wait_for_selector("#details[open]")
    card.dispatch_event("pointerup", finger)
    card.dispatch_event("click")
    assert card.get_attribute("aria-pressed") == "false"  # A long press is no click.
    wait_until(page, "document.getElementById('details-picture').naturalWidth === 128")
    page.click("#details-use")
    settle(page)
    assert card.get_attribute("aria-pressed") == "true"


def test_a_painting_is_learnt_on_the_page(
    open_page: Callable[..., "Page"], tmp_path: Path, small: str
) -> None:
    with serving(tmp_path) as url:
        page = open_page(url, quiet=False)
        page.set_input_files("#file", small)
        page.set_input_files("#own-file", str(tmp_path / "storm.png"))
        settle(page)

        def learn(steps: int) -> None:
            page.click("#mix .chip")
            page.wait_for_selector("#learn", state="visible")
            page.eval_on_selector("#learn-steps option", f"option => (option.value = {steps})")
            page.select_option("#learn-steps", str(steps))
            page.click("#learn")

        learn(600)
        page.click("#mix .chip")
        page.wait_for_selector("#learn-why", state="visible")
        assert "One at a time" in page.inner_text("#learn-why")
        page.click("#details-close")
        page.wait_for_selector("#learn-stop", state="visible")
        page.reload()  # The job goes on.
        page.click("#learn-stop")
        wait_until(page, "document.getElementById('learn-state').textContent === 'Cancelled.'")
        page.set_input_files("#file", small)
        page.set_input_files("#own-file", str(tmp_path / "storm.png"))
        settle(page)
        learn(2)
        wait_until(page, "document.getElementById('learn-state').textContent.startsWith('Done')")
        assert page.inner_text("#learn-loss-text").startswith("Loss: from ")
        page.wait_for_selector("#learn-picture", state="visible")
        page.wait_for_selector(".tile .learnt")
        page.wait_for_selector(".part .name:text-is('storm')")  # It is in the gallery now.
        settle(page)
        assert page.url.endswith("#style=storm")


# Notices


def test_the_worst_notice_is_shown_in_view_and_a_dead_service_can_be_tried_again(
    url: str, open_page: Callable[..., "Page"], photo: str, tmp_path: Path
) -> None:
    page = open_page(url, quiet=False)
    page.set_input_files("#file", photo)
    settle(page)
    (tmp_path / "bad.jpg").write_text("no picture")
    page.set_input_files("#file", str(tmp_path / "bad.jpg"))
    page.wait_for_selector("#notice", state="visible")
    assert "can read that file" in page.inner_text("#notice")
    page.route("**/api/v1/**", lambda route: route.abort())
    page.locator("#alpha").fill("0.2")
    wait_until(page, "document.getElementById('notice').dataset.about === 'paint'")
    assert "does not answer" in page.inner_text("#notice")
    page.mouse.wheel(0, 3000)
    box = page.locator("#notice").bounding_box()
    assert box and 0 <= box["y"] < 900 - box["height"]
    wait_until(page, "document.getElementById('working').hidden")
    # Other requests fail, too: what is told may be theirs until this one has failed again.
    click = "(button => !button.hidden && (button.click(), true))"
    wait_until(page, f"{click}(document.getElementById('notice-retry'))")
    page.unroute("**/api/v1/**")
    settle(page)
    wait_until(page, "document.getElementById('notice').dataset.about === 'photo'")
    assert "can read that file" in page.inner_text("#notice")  # Not solved yet.
    page.click("#notice-close")
    wait_until(page, "document.getElementById('notice').dataset.about !== 'photo'")


# Room, and everybody


def test_the_picture_is_the_largest_thing_and_the_mixture_is_in_view(
    url: str, open_page: Callable[..., "Page"], photo: str
) -> None:
    link = f"{url}#style=irises=1&style=senecio=1&style=water-lilies=1"
    page = open_page(link, viewport={"width": 1440, "height": 900})
    page.set_input_files("#file", photo)
    settle(page)
    areas = {}
    for name in ("#after", "#styles", "#pad", "#alpha", "#brush", "#gallery .desk"):
        box = page.locator(name).bounding_box()
        assert box and box["y"] >= 0 and box["y"] + box["height"] <= 900, name
        areas[name] = box["width"] * box["height"]
    for menu in ("#download", "#share"):
        page.click(f"{menu} summary")
        box = page.locator(f"{menu} .sheet").bounding_box()
        assert box and box["y"] >= 0 and box["y"] + box["height"] <= 900, menu
    assert areas["#after"] > 400_000 and areas["#after"] == max(areas.values())


def test_fingers_find_targets_of_44_pixels(url: str, open_page: Callable[..., "Page"]) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    page = open_page(f"{url}#style=irises=1&style=senecio=1&style=water-lilies=1", **phone)
    settle(page)
    page.wait_for_selector(".tile")
    small = page.evaluate("""[...document.querySelectorAll(
        'button, summary, select, input:not([type=file]):not([type=checkbox]), .check')]
        .map((each) => [each.id || each.className, each.getBoundingClientRect()])
        .filter(([, box]) => box.width && (box.width < 44 || box.height < 44))
        .map(([name, box]) => `${name} ${box.width} ${box.height}`)""")
    assert small == []


def test_axe_finds_nothing_in_any_state(
    url: str, open_page: Callable[..., "Page"], small: str, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text("utf-8")
    link = f"{url}#style=irises=1&style=senecio=1&style=water-lilies=1"
    page = open_page(link, quiet=False)
    found: list[tuple[str, ...]] = []
    part = "{ exclude: ['.tile:nth-child(n+4)'] }"  # One tile is like the other.

    def look(state: str) -> None:
        page.evaluate(script)
        violations = page.evaluate(f"axe.run({part})")["violations"]
        page.emulate_media(color_scheme="dark")
        contrast = page.evaluate(f"axe.run({part}, {{ runOnly: ['color-contrast'] }})")
        page.emulate_media(color_scheme="light")
        violations += contrast["violations"]
        found.extend((state, each["id"], each["nodes"][0]["html"][:90],
                      each["nodes"][0]["failureSummary"][:160])
                     for each in violations)  # fmt: skip

    settle(page)
    page.wait_for_selector(".tile")
    look("first view")
    page.keyboard.press("?")
    page.wait_for_selector("#keys", state="visible")
    look("keys")
    page.keyboard.press("Escape")
    page.click("#mix .chip")
    page.wait_for_selector("#details", state="visible")
    look("about a painting")
    page.keyboard.press("Escape")
    page.set_input_files("#file", [small, small])
    settle(page)
    page.click("#brush")
    look("painted, several photos, areas")
    page.click("#brush-done")
    page.click("#download summary")
    wait_until(page, "document.getElementById('size-text').textContent !== ''")
    look("download")
    page.click("#share summary")
    look("share")
    (tmp_path / "bad.jpg").write_text("no picture")
    page.set_input_files("#file", str(tmp_path / "bad.jpg"))
    page.wait_for_selector("#notice", state="visible")
    look("notice")
    assert not found


def test_all_requests_are_made_in_one_module() -> None:
    asking = re.compile(r"\bfetch\(|WebSocket\(|EventSource|XMLHttpRequest|sendBeacon")
    found = {path.name for path in STATIC.glob("*.js") if asking.search(path.read_text("utf-8"))}
    assert found == {"api.js", "offline.js"}  # The latter hands the page's own files on.


def test_a_film_is_seen_at_once_and_painted_as_a_job(
    url: str, open_page: Callable[..., "Page"], tmp_path: Path
) -> None:
    pytest.importorskip("av")
    from films import times_of, write_film

    film = write_film(tmp_path / "dance.mp4", 10)
    page = open_page(url)
    settle(page)
    page.set_input_files("#file", str(film))
    page.wait_for_selector("#film-desk", state="visible")
    settle(page)  # Its first frame is painted.
    command = page.text_content("#command-text") or ""
    assert command.startswith("adain video dance.mp4 painted.mp4 --style")
    page.fill("#film-at", "0.2")
    wait_until(page, "document.getElementById('film-at-value').textContent === '0.2 s'")
    settle(page)
    page.click("#film-look")
    page.wait_for_selector("#film-save", state="visible")
    wait_until(page, "document.getElementById('film-result').src.startsWith('blob:')")
    page.wait_for_selector("#film-paint:enabled")
    page.click("#film-paint")
    page.wait_for_selector("#film-save", state="hidden")
    page.wait_for_selector("#film-save", state="visible")
    with page.expect_download() as begun:
        page.click("#film-save")
    name = begun.value.suggested_filename
    assert name.startswith("dance.cafe-terrace-at-night.")
    begun.value.save_as(tmp_path / name)
    assert len(times_of(tmp_path / name)) == 10
