"""A gallery as a plain web site: static files that paint in the visitor's own browser.

    index.html  static/     the page of the service, and what runs the network on a device
    network.safetensors     graphs and weights
    site.json  offline.js   title and version; what keeps the site in the browser
    paintings/  similar/    facts of `SHARD` paintings a file, and the nearest of each
    vectors/                style vectors of `VECTORS` paintings a file
    words/  groups/         which paintings have a word, and belong to an artist or a movement
    previews/  adapters/    a picture for each of the first paintings, and what was learnt of them

The page asks for its files where it asks a service otherwise (`gallery/web/static/api.js`, and
`site/catalogue.js` beside it). Paths are relative: the folder works under any address, from any
host, and asks no other.
"""

import hashlib
import html
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from adain.engine.model import Array, Model
from adain.engine.onnx_engine import OnnxEngine
from adain.imaging.pillow import to_image
from adain.imaging.reading import load_image
from gallery.database.gallery import Gallery
from gallery.database.paintings import Painting
from gallery.database.queries import Group
from gallery.errors import OutputError, StyleNotFound, StylesError
from gallery.use_cases.device import RUNTIME, STATIC, has_runtime, network_file, style_vector
from gallery.use_cases.palettes import palette
from gallery.use_cases.previews import PreviewConfig, example_file, style_preview
from gallery.use_cases.site_index import nearest_styles, word_files
from gallery.use_cases.styles import ResolvedStyle, kept_style, pool_vectors

PREVIEW_SIDE = 192
"""Longest side in pixels of the picture of a card, some 8 kB."""

PREVIEWS = 2000
"""Paintings with such a picture; the cards of others are painted on the visitor's device."""

SHARD = 300
"""Paintings whose facts are one file: a page reads the first and shows cards."""

VECTORS = 60
"""Paintings whose style vectors are one file, of 117 kB: to paint in one of them reads it."""

FIRST = "cafe-terrace-at-night"
"""The style that the page opens with, where it is there; else the first one."""

FIRST_SIDE = 640
"""Longest side in pixels of the example in that style, which is seen until the device is ready."""

OFFLINE = "offline.js"
"""The page's service worker."""

MARK = "site.json"
"""A folder with this file may be replaced."""

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
"""That of the service, for what a plain host sends no headers for."""


@dataclass(frozen=True)
class Chosen:
    """A painting of a site, and its style."""

    painting: Painting
    style: ResolvedStyle


@dataclass(frozen=True)
class ChosenGroup:
    """An artist or a movement of a site, which can be painted like all together.

    Attributes:
        rows: Its paintings, by their places among those chosen.
        style: Of all of them.
    """

    group: Group
    rows: list[int]
    style: ResolvedStyle

    @property
    def name(self) -> str:
        """Return the name of its files."""
        return f"{self.group.kind}-{self.group.slug}"


@dataclass(frozen=True)
class Selection:
    """What is in a site: those that were learnt come first."""

    paintings: list[Chosen]
    groups: list[ChosenGroup]

    @property
    def learnt(self) -> int:
        """Return how many were learnt."""
        return sum(each.style.statistics.adapter is not None for each in self.paintings)


@dataclass(frozen=True)
class SiteConfig:
    """How a site looks.

    Attributes:
        title: Of its page.
        intro: Markdown that is said below the title.
        logo: A picture file, for the page and as its icon.
        previews: How many paintings have a picture of their own.
        texts: Those of another language, from `gallery.use_cases.texts.read_texts`.
    """

    title: str = "adain"
    intro: str = ""
    logo: Path | None = None
    previews: int = PREVIEWS
    texts: Mapping[str, Any] | None = None


def choose_paintings(
    model: Model,
    gallery: Gallery,
    groups: Sequence[Group] = (),
    limit: int | None = None,
    names: Sequence[str] = (),
) -> Selection:
    """Return the measured paintings of a gallery with their styles, those that were learnt first.

    Args:
        model: The network.
        gallery: Where they are.
        groups: Artists and movements; by default everything.
        limit: How many, at most.
        names: Paintings, by what names them, in their order; beside those of the groups.

    Raises:
        StyleNotFound: If there is none, or a name fits none.
        StylesError: If statistics are damaged.
    """
    vectors: dict[int, Array] = {}
    everything: list[Group | None] = [] if names else [None]
    for group in groups or everything:
        numbers, rows = gallery.vectors(model.fingerprint, group)
        vectors |= dict(zip(numbers, rows, strict=True))
    for name in names:
        painting = gallery.find(name)
        vector = gallery.vector(painting, model.fingerprint)
        if vector is not None:
            vectors.setdefault(painting.id, vector[0])
    adapters = gallery.learnt_adapters(model.base)
    order = sorted(vectors, key=lambda number: number not in adapters)[:limit]
    if not order:
        raise StyleNotFound("no measured painting; 'adain ingest' some first")
    paintings = {each.id: each for each in gallery.pictures(order)}
    chosen = [
        Chosen(
            paintings[number],
            kept_style(
                model,
                paintings[number].slug,
                vectors[number][None],
                adapter=adapters.get(number),
            ),
        )
        for number in order
        if number in paintings
    ]
    return Selection(chosen, _choose_groups(model, gallery, chosen))


def _choose_groups(model: Model, gallery: Gallery, chosen: Sequence[Chosen]) -> list[ChosenGroup]:
    members: dict[tuple[str, str], list[int]] = {}
    for row, each in enumerate(chosen):
        painting = each.painting
        for kind, names in (("artist", [painting.artist]), ("style", painting.styles)):
            for name in filter(None, names):
                members.setdefault((kind, name), []).append(row)
    groups = []
    for kind in ("artist", "style"):
        for group in gallery.groups(kind):
            rows = members.get((kind, group.name), [])
            if not rows:
                continue
            vectors = np.concatenate([chosen[row].style.statistics.to_vector() for row in rows])
            adapter = gallery.adapter(group, model.base) if len(rows) == group.paintings else None
            pooled = pool_vectors(model, vectors)
            style = kept_style(model, group.slug, pooled, "group", adapter)
            groups.append(ChosenGroup(group, rows, style))
    return groups


def export_site(
    model: Model,
    selection: Selection,
    folder: Path,
    config: SiteConfig = SiteConfig(),
    overwrite: bool = False,
    on_painting: Callable[[], None] = lambda: None,
) -> None:
    """Write a site, whole or not at all.

    Args:
        model: The network.
        selection: What is in it, from `choose_paintings`.
        folder: Where it goes.
        config: How it looks.
        overwrite: Replace a site that is there.
        on_painting: Called after each painting.

    Raises:
        OutputError: If something else is there, or it cannot be written, or the runtime is missing.
        StylesError: If the network has no graphs.
        ImageError: If the logo cannot be read.
    """
    check_folder(folder, overwrite)
    check_runtime()
    if not OnnxEngine.runs(model.weights):
        raise StylesError(f"{model.name}: has no graphs, which a site needs; see scripts/export")
    logo = None if config.logo is None else to_image(load_image(config.logo).pixels)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adain-", dir=folder.parent) as temporary:
            made = Path(temporary) / "site"
            made.mkdir()
            _write_static(made, config.title, logo)
            (made / "network.safetensors").write_bytes(network_file(model))
            _write_paintings(made, model, selection.paintings, config.previews, on_painting)
            letters = _write_index(made, model, selection)
            first = _write_first(made, model, selection.paintings)
            facts = {
                "title": config.title,
                "paintings": len(selection.paintings),
                "learnt": selection.learnt,
                "shard": SHARD,
                "vectors": VECTORS,
                "first": first,
                "letters": letters,
                "texts": config.texts is not None,
            }
            if config.texts is not None:
                _write_json(made / "texts.json", config.texts)
            _write_json(made / MARK, facts)
            _write_page(made, config, logo is not None)
            if folder.exists():
                folder.rename(Path(temporary) / "former")
            made.rename(folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror}); check the folder and the free space"
        ) from error


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a place where a site must not go. Raises `OutputError`."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder")
    if not any(folder.iterdir()):
        return
    if not (folder / MARK).is_file():
        raise OutputError(f"{folder}: holds other files; name a new folder")
    if not overwrite:
        raise OutputError(f"{folder}: exists; add --overwrite to replace it")


def check_runtime() -> None:
    """Refuse where what runs the network in a browser is missing. Raises `OutputError`."""
    if not has_runtime():
        raise OutputError("the runtime for browsers is not there; scripts/fetch_runtime gets it")


def _write_static(site: Path, title: str, logo: Image.Image | None) -> None:
    hidden = shutil.ignore_patterns("index.html", OFFLINE)
    shutil.copytree(STATIC, site / "static", ignore=hidden)
    shutil.copy(STATIC / "site" / OFFLINE, site / OFFLINE)  # It serves what is beside and below it.
    (site / "example.jpg").write_bytes(example_file())
    (site / "LICENSES.txt").write_text(_licences(), encoding="utf-8")
    manifest = site / "static" / "manifest.webmanifest"
    facts = json.loads(manifest.read_text(encoding="utf-8"))
    facts |= {"name": title, "short_name": title}
    if logo is not None:
        _write_icons(site / "static", logo)
        facts["icons"] = [each for each in facts["icons"] if each["type"] == "image/png"]
    _write_json(manifest, facts)


def _write_icons(folder: Path, logo: Image.Image) -> None:
    for name, side, share in (
        ("icon-192.png", 192, 1.0),
        ("icon-512.png", 512, 1.0),
        ("icon-maskable.png", 512, 0.8),  # A launcher may cut it round.
    ):
        icon = Image.new("RGB", (side, side), "white")
        inner = round(side * share)
        small = ImageOps.contain(logo.convert("RGB"), (inner, inner))
        icon.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
        icon.save(folder / name)


def _licences() -> str:
    """Return what is said about the rights of others and ours."""
    try:
        ours = next(each for each in files("adain") or [] if each.name == "LICENSE").read_text()
    except (PackageNotFoundError, StopIteration, OSError):
        path = Path(__file__).parents[2] / "LICENSE"
        ours = path.read_text(encoding="utf-8") if path.is_file() else "MIT License\n"
    runtime = (RUNTIME / "LICENSE.txt").read_text(encoding="utf-8")
    return (
        f"adain: the page, the code and the network\n\n{ours}\n{'-' * 70}\n\n{runtime}\n"
        f"{'-' * 70}\n\nPaintings: the page tells the rights and the credit of each.\n"
        "Letters: those of the visitor's device; none are shipped.\n"
    )


def intro_html(text: str) -> str:
    """Return Markdown as HTML that holds no tags of its own and no pictures from elsewhere."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    tokens = parser.parse(text)
    for token in tokens:
        if token.type.startswith("heading"):  # The title of the page is the first.
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", "noopener noreferrer")
    return str(parser.renderer.render(tokens, parser.options, {}))


def _write_page(site: Path, config: SiteConfig, has_logo: bool) -> None:
    """Write the page of the service as that of a site of this version."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    title = html.escape(config.title)
    icon = '<link rel="icon" href="static/icon.svg" type="image/svg+xml">'
    logo = '<img class="logo" src="static/icon-192.png" alt="">' if has_logo else ""
    intro = (
        f'<section class="intro" aria-label="About">\n{intro_html(config.intro)}</section>\n'
        if config.intro
        else ""
    )
    rights = '<footer class="small"><a href="LICENSES.txt">Licences</a></footer>\n'
    for before, after in (
        ('<html lang="en">', f'<html lang="en" data-site="{_version(site)}">'),
        (
            '<meta charset="utf-8">',
            '<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="referrer" content="no-referrer">',
        ),
        (re.search("<title>.*</title>", page)[0], f"<title>{title}</title>"),  # type: ignore[index]
        ("<h1>adain</h1>", f"{logo}<h1>{title}</h1>"),
        (icon, '<link rel="icon" href="static/icon-192.png">' if has_logo else icon),
        ("</header>\n", f"</header>\n{intro}"),
        ("</main>\n", f"</main>\n{rights}"),
    ):
        page = page.replace(before, after, 1)
    (site / "index.html").write_text(page, encoding="utf-8")


def _version(site: Path) -> str:
    """Return what identifies the content of a site: what a browser keeps is of this version."""
    digest = hashlib.sha256()
    for path in sorted(path for path in site.rglob("*") if path.is_file()):
        digest.update(path.relative_to(site).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _write_paintings(
    site: Path,
    model: Model,
    chosen: Sequence[Chosen],
    previews: int,
    on_painting: Callable[[], None],
) -> None:
    for name in ("paintings", "vectors", "previews", "adapters"):
        (site / name).mkdir()
    _write_vectors(site / "vectors", model, chosen)
    for number, start in enumerate(range(0, len(chosen), SHARD)):
        shard = chosen[start : start + SHARD]
        facts = [_facts(each, start + i < previews) for i, each in enumerate(shard)]
        _write_json(site / "paintings" / f"{number}.json", facts)
        for each in shard[: max(0, previews - start)]:
            data = style_preview(model, each.style, PreviewConfig(PREVIEW_SIDE))
            (site / "previews" / f"{each.painting.slug}.jpg").write_bytes(data)
        for each in shard:
            _write_adapter(site, each.painting.slug, each.style)
            on_painting()


def _write_first(site: Path, model: Model, chosen: Sequence[Chosen]) -> str:
    """Write the example in the style that the page opens with; return its name."""
    first = next((each for each in chosen if each.painting.slug == FIRST), chosen[0])
    data = style_preview(model, first.style, PreviewConfig(FIRST_SIDE))
    (site / "first.jpg").write_bytes(data)
    return first.painting.slug


def _write_vectors(folder: Path, model: Model, chosen: Sequence[Chosen]) -> None:
    for number, start in enumerate(range(0, len(chosen), VECTORS)):
        shard = [each.style.statistics for each in chosen[start : start + VECTORS]]
        vectors = np.concatenate([style_vector(model, each) for each in shard])
        (folder / f"{number}.bin").write_bytes(vectors.astype("<f4").tobytes())


def _write_adapter(site: Path, name: str, style: ResolvedStyle) -> None:
    adapter = style.statistics.adapter
    if adapter is not None:
        (site / "adapters" / f"{name}.safetensors").write_bytes(adapter.to_bytes())


def _facts(chosen: Chosen, has_preview: bool) -> dict[str, Any]:
    """Return what the page is told of a painting; what is left out is empty."""
    painting = chosen.painting
    facts = {
        "slug": painting.slug,
        "title": painting.title,
        "artist": painting.artist,
        "years": painting.years,
        "styles": list(painting.styles),
        "rights": painting.rights,
        "credit": painting.credit,
        "page_url": painting.page_url,
        "learnt": chosen.style.statistics.adapter is not None,
        "colors": palette(chosen.style.statistics.colors),
    }
    found: dict[str, Any] = {key: value for key, value in facts.items() if value}
    return found if has_preview else found | {"preview": False}


def _write_index(site: Path, model: Model, selection: Selection) -> list[str]:
    """Write what paintings are found by; return the names of the files of words."""
    for name in ("similar", "words", "groups"):
        (site / name).mkdir()
    paintings = selection.paintings
    vectors = np.concatenate([each.style.statistics.to_vector() for each in paintings])
    near = nearest_styles(vectors)
    for number, start in enumerate(range(0, len(near), SHARD)):
        _write_json(site / "similar" / f"{number}.json", near[start : start + SHARD])
    words = word_files([each.painting for each in paintings])
    for name, found in words.items():
        _write_json(site / "words" / f"{name}.json", found)
    groups: dict[str, list[dict[str, Any]]] = {"artist": [], "style": []}
    for each in selection.groups:
        group = each.group
        facts = {"slug": group.slug, "name": group.name, "paintings": len(each.rows)}
        groups[group.kind].append(facts | {"style": f"{group.kind}:{group.slug}"})
        vector = style_vector(model, each.style.statistics)[0]
        learnt = each.style.statistics.adapter is not None
        content = {"numbers": each.rows, "vector": [float(f"{v:.9g}") for v in vector]}
        _write_json(site / "groups" / f"{each.name}.json", content | {"learnt": learnt})
        _write_adapter(site, each.name, each.style)
    _write_json(site / "groups.json", groups)
    return sorted(words)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
