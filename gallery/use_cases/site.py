"""A gallery as a plain web site: static files that paint in the visitor's own browser.

    index.html  code/       the page, and what runs the network on the visitor's device
    runtime/  network/      onnxruntime-web, the graphs and their weights
    site.json  offline.js   title and version; what keeps the site in the browser
    paintings/  vectors/    facts and style vectors of `SHARD` paintings a file
    previews/  adapters/    a picture for each painting, and what was learnt of it

Paths are relative: the folder works under any address, from any host, and asks no other.
"""

import hashlib
import html
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from adain.engine.model import Array, Model, ModelWeights
from adain.engine.onnx_engine import GRAPHS, OnnxEngine
from adain.network.stages import decoder_stages, encoder_stages
from adain.styles.colors import VECTOR_SIZE
from adain.styles.recoloring import style_colors
from gallery.database.gallery import Gallery
from gallery.database.paintings import Painting
from gallery.database.queries import Group
from gallery.errors import OutputError, StyleNotFound, StylesError
from gallery.use_cases.previews import PreviewConfig, example_file, style_preview
from gallery.use_cases.styles import ResolvedStyle, kept_style

STATIC = Path(__file__).parents[1] / "web" / "static"

PREVIEW_SIDE = 192
"""Longest side in pixels of the picture of a card, some 8 kB."""

SHARD = 300
"""Paintings whose facts, and whose vectors, are one file: a page reads the first and paints."""

OFFLINE = "offline.js"
"""The page's service worker."""

MARK = "site.json"
"""A folder with this file may be replaced."""


@dataclass(frozen=True)
class Chosen:
    """A painting of a site, and its style."""

    painting: Painting
    style: ResolvedStyle


def choose_paintings(
    model: Model, gallery: Gallery, groups: Sequence[Group] = (), limit: int | None = None
) -> list[Chosen]:
    """Return the measured paintings of a gallery with their styles, those that were learnt first.

    Args:
        model: The network.
        gallery: Where they are.
        groups: Artists and movements; by default everything.
        limit: How many, at most.

    Raises:
        StyleNotFound: If there is none.
        StylesError: If statistics are damaged.
    """
    vectors: dict[int, Array] = {}
    for group in groups or (None,):
        numbers, rows = gallery.vectors(model.fingerprint, group)
        vectors |= dict(zip(numbers, rows, strict=True))
    adapters = gallery.learnt_adapters(model.base)
    order = sorted(vectors, key=lambda number: (number not in adapters, number))[:limit]
    if not order:
        raise StyleNotFound("no measured painting; 'adain ingest' some first")
    paintings = {each.id: each for each in gallery.pictures(order)}
    return [
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


def export_site(
    model: Model,
    chosen: Sequence[Chosen],
    folder: Path,
    title: str,
    overwrite: bool = False,
    on_painting: Callable[[], None] = lambda: None,
) -> None:
    """Write a site, whole or not at all.

    Args:
        model: The network.
        chosen: What is in it, from `choose_paintings`.
        folder: Where it goes.
        title: Of its page.
        overwrite: Replace a site that is there.
        on_painting: Called after each.

    Raises:
        OutputError: If something else is there, or it cannot be written, or the runtime is missing.
        StylesError: If the network has no graphs.
    """
    check_folder(folder, overwrite)
    runtime = find_runtime()
    if not OnnxEngine.runs(model.weights):
        raise StylesError(f"{model.name}: has no graphs, which a site needs; see scripts/export")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adain-", dir=folder.parent) as temporary:
            made = Path(temporary) / "site"
            _write_page(made, runtime, title)
            _write_network(made / "network", model.weights)
            _write_paintings(made, model, chosen, on_painting)
            facts = {"title": title, "paintings": len(chosen), "version": _version(made)}
            _write_json(made / MARK, facts)
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


def find_runtime() -> Path:
    """Return the folder of what runs the network in a browser. Raises `OutputError`."""
    folder = STATIC / "runtime"
    if not (folder / "VERSION").is_file():
        raise OutputError("the runtime for browsers is not there; scripts/fetch_runtime gets it")
    return folder


def _write_page(site: Path, runtime: Path, title: str) -> None:
    code = STATIC / "site"
    shutil.copytree(code, site / "code", ignore=shutil.ignore_patterns("index.html", OFFLINE))
    shutil.copy(code / OFFLINE, site / OFFLINE)  # It serves what is beside and below it.
    shutil.copytree(runtime, site / "runtime")
    page = (code / "index.html").read_text(encoding="utf-8")
    (site / "index.html").write_text(page.replace("{title}", html.escape(title)), encoding="utf-8")
    shutil.copy(STATIC / "icon.svg", site / "icon.svg")
    (site / "example.jpg").write_bytes(example_file())


def _version(site: Path) -> str:
    """Return what identifies the content of a site: what a browser keeps is of this version."""
    digest = hashlib.sha256()
    for path in sorted(path for path in site.rglob("*") if path.is_file()):
        digest.update(path.relative_to(site).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _write_network(folder: Path, weights: ModelWeights) -> None:
    folder.mkdir()
    encode = [f"encode{stage.depth}" for stage in encoder_stages(weights.convolutions)]
    decode = [
        {"graph": f"decode{stage.depth}", "depth": stage.depth, "adds": stage.adds}
        for stage in decoder_stages(weights.table)
    ]
    for name in (*encode, *(str(each["graph"]) for each in decode)):
        shutil.copy(GRAPHS / weights.graph(name), folder / f"{name}.onnx")
    (folder / "weights.safetensors").write_bytes(save(dict(_tensors(weights))))
    facts = {
        "widths": list(weights.widths.values()),
        "maxGain": weights.max_gain,
        "recolors": "colors.weight" in weights.decoder,
        "encode": encode,
        "decode": decode,
    }
    _write_json(folder / "network.json", facts)


def _tensors(weights: ModelWeights) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield the weights that are needed to paint, in half precision where that loses nothing."""
    names = {name for stage in encoder_stages(weights.convolutions) for name in stage.names}
    for part, tensors in (("encoder", weights.encoder), ("decoder", weights.decoder)):
        for name, value in tensors.items():
            wanted = name.partition(".")[0] in names if part == "encoder" else "colors" not in name
            if wanted:
                half = value.astype(np.float16)
                exact = np.array_equal(half.astype(np.float32), value)
                yield f"{part}.{name}", np.ascontiguousarray(half if exact else value)


def _write_paintings(
    site: Path, model: Model, chosen: Sequence[Chosen], on_painting: Callable[[], None]
) -> None:
    for name in ("paintings", "vectors", "previews", "adapters"):
        (site / name).mkdir()
    for number, start in enumerate(range(0, len(chosen), SHARD)):
        shard = chosen[start : start + SHARD]
        vectors = np.concatenate([_vector(model, each.style) for each in shard])
        (site / "vectors" / f"{number}.bin").write_bytes(vectors.astype("<f4").tobytes())
        _write_json(site / "paintings" / f"{number}.json", [_facts(each) for each in shard])
        for each in shard:
            slug = each.painting.slug
            data = style_preview(model, each.style, PreviewConfig(PREVIEW_SIDE))
            (site / "previews" / f"{slug}.jpg").write_bytes(data)
            adapter = each.style.statistics.adapter
            if adapter is not None:
                (site / "adapters" / f"{slug}.safetensors").write_bytes(adapter.to_bytes())
            on_painting()


def _vector(model: Model, style: ResolvedStyle) -> Array:
    """Return the statistics and colours of a style, `(1, D + 9)`; those unknown are estimated."""
    statistics = style.statistics
    vector = statistics.to_vector()
    if statistics.colors is not None:
        return vector
    if model.colors is None:
        return np.pad(vector, ((0, 0), (0, VECTOR_SIZE)))
    colors = style_colors(statistics, model.colors)
    return np.concatenate((vector, colors.to_vector()), axis=1)


def _facts(chosen: Chosen) -> dict[str, Any]:
    painting = chosen.painting
    facts = {
        "slug": painting.slug,
        "title": painting.title,
        "artist": painting.artist,
        "years": painting.years,
        "styles": list(painting.styles),
        "rights": painting.rights,
        "credit": painting.credit,
        "page": painting.page_url,
        "learnt": chosen.style.statistics.adapter is not None,
    }
    return {key: value for key, value in facts.items() if value}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
