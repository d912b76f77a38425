"""Paintings that are learnt for a batch."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adain.engine.model import Model
from adain.imaging.picture import Picture
from adain.painting.measuring import measure_style
from adain.quality import gate
from adain.quality.gate import Verdict
from adain.styles.adapter import Adapter
from adain.training.config import Learning
from gallery.config import BatchConfig, StylizeConfig, database_url
from gallery.database.gallery import Gallery, make_gallery
from gallery.database.paintings import Painting
from gallery.use_cases import batch_learning, refine
from gallery.use_cases.batch import (
    BatchPlan,
    BatchStep,
    BatchWorker,
    Styles,
    find_photos,
    plan_jobs,
    run_batch,
    run_threads,
)
from gallery.use_cases.batch_learning import BatchLearner, Orders, Told, choose, find_targets
from gallery.use_cases.journal import JOURNAL, Journal
from gallery.use_cases.references import parse_reference
from gallery.use_cases.refine import Refinement

PAINTING = "mosaic.png"


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three photos and a painting; what is learnt takes two steps on small crops."""
    monkeypatch.chdir(tmp_path)
    sizes = {"in/a.png": 40, "in/b.png": 44, "in/c.png": 48, PAINTING: 64}
    for seed, (name, side) in enumerate(sizes.items()):
        Path(name).parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).save(name)
    quick = Learning(steps=2, batch_size=1, crop=64)
    monkeypatch.setattr(Orders, "config", lambda orders, spent=0.0: quick)
    monkeypatch.setattr(batch_learning, "POLL", 0.01)


@dataclass
class Heard:
    """What was told."""

    lines: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    steps: int = 0
    stop_after: float = float("inf")

    @property
    def told(self) -> Told:
        def share(now: float) -> None:
            self.steps += 1

        return Told(
            self.lines.append, share, self.errors.append, lambda: self.steps >= self.stop_after
        )


def make_plan(model: Model, gallery: Gallery, name: str = PAINTING) -> BatchPlan:
    vector = measure_style(model, Path(PAINTING)).to_vector()
    targets = find_targets([parse_reference(name)], gallery)
    styles = Styles(("mosaic",), vector, targets=targets)
    return BatchPlan(Path("in"), Path("out"), styles, StylizeConfig(), BatchConfig())


def run(
    model: Model, plan: BatchPlan, gallery: Gallery, orders: Orders, heard: Heard | None = None
) -> tuple[BatchPlan, list[BatchStep], Heard]:
    """Learn and paint, as `adain batch` does."""
    heard = heard or Heard()
    journal = Journal(plan.output, read_only=plan.batch.dry_run)
    steps: list[BatchStep] = []
    try:
        photos = find_photos(plan.source, plan.output, plan.batch, heard.errors.append)
        jobs = plan_jobs(plan, photos, journal)
        learner = BatchLearner(orders, model, journal, gallery, lambda: gallery)
        plan = learner(plan, jobs, heard.told)
        worker = BatchWorker(plan, model, journal)
        run_batch(jobs, lambda jobs: run_threads(worker, jobs, 2), steps.append)
    finally:
        journal.close()
    assert not [step.error for step in steps if step.error]
    return plan, steps, heard


@pytest.fixture
def gallery() -> Iterator[Gallery]:
    gallery = make_gallery(database_url())
    yield gallery
    gallery.close()


EVERY = Orders(every=True, seconds=60)
AUTO = Orders(every=False)


def test_a_picture_is_learnt_once_beside_the_results(tiny_model: Model, gallery: Gallery) -> None:
    plan = make_plan(tiny_model, gallery)
    learnt, steps, heard = run(tiny_model, plan, gallery, EVERY)
    assert [step.status for step in steps] == ["done"] * 3
    assert "is being learnt with 4 photos" in heard.lines[0] and "in 2 steps" in heard.lines[1]
    adapter = learnt.styles.adapters[0]
    assert adapter.digest in Path("out", JOURNAL).read_text()
    assert not any(each.name == "mosaic" for each in gallery.adapters())
    # Again, and by a run without the orders: found, or not looked for.
    again, steps, heard = run(tiny_model, plan, gallery, EVERY)
    assert ([step.status for step in steps], heard.lines) == (["skipped"] * 3, [])
    assert again.styles.adapters == {0: adapter}


def test_a_painting_of_the_gallery_is_learnt_there(tiny_model: Model, gallery: Gallery) -> None:
    path = str(Path(PAINTING).absolute())
    gallery.add([Painting("mosaic", "Mosaic", path=path, sha256="1" * 64, pixel_sha256="2" * 64)])
    plan = make_plan(tiny_model, gallery, "mosaic")
    learnt, _, _ = run(tiny_model, plan, gallery, EVERY)
    painting = gallery.find("mosaic")
    assert gallery.adapter(painting, tiny_model.base) == learnt.styles.adapters[0]
    assert not Path("out", batch_learning.FOLDER).exists()


def test_another_run_that_is_learning_is_waited_for(tiny_model: Model, gallery: Gallery) -> None:
    path = str(Path(PAINTING).absolute())
    gallery.add([Painting("mosaic", "Mosaic", path=path, sha256="1" * 64, pixel_sha256="2" * 64)])
    plan, target = make_plan(tiny_model, gallery, "mosaic"), gallery.find("mosaic")
    theirs = Adapter(tiny_model.base, {})
    heard = Heard()

    def line(text: str) -> None:
        heard.lines.append(text)
        gallery.keep_adapter(target, theirs)

    told = replace(heard.told, line=line)
    journal = Journal(plan.output)
    learner = BatchLearner(EVERY, tiny_model, journal, gallery, lambda: gallery)
    with gallery.claim_learning(target, tiny_model.base):
        jobs = plan_jobs(plan, ["a.png"], journal)
        assert learner(plan, jobs, told).styles.adapters == {0: theirs}
    assert heard.lines == ["mosaic: another run is learning it; waiting for it"]
    journal.close()


def test_a_run_that_is_stopped_goes_on_where_it_was(tiny_model: Model, gallery: Gallery) -> None:
    plan = make_plan(tiny_model, gallery)
    stopped, _, heard = run(tiny_model, plan, gallery, EVERY, Heard(stop_after=1))
    assert not stopped.styles.adapters and "goes on from there" in heard.lines[-1]
    learnt, _, heard = run(tiny_model, plan, gallery, EVERY)
    assert heard.steps == 1 and learnt.styles.adapters[0].facts["steps"] == 2
    assert not list(Path("data").rglob("*.safetensors"))


def test_what_cannot_be_learnt_is_told_and_painted_all_the_same(
    tiny_model: Model, gallery: Gallery
) -> None:
    plan = make_plan(tiny_model, gallery)
    gone = replace(plan.styles, targets={0: gallery.find("irises")})
    _, steps, heard = run(tiny_model, replace(plan, styles=gone), gallery, EVERY)
    assert "picture is not here" in heard.lines[0] and not heard.errors
    assert [step.status for step in steps] == ["done"] * 3
    Image.new("RGB", (20, 40)).save(PAINTING)
    _, _, heard = run(tiny_model, make_plan(tiny_model, gallery), gallery, EVERY)
    assert "at least 32 pixels" in str(heard.errors[0])


def test_a_dry_run_says_what_it_would_learn(tiny_model: Model, gallery: Gallery) -> None:
    plan = make_plan(tiny_model, gallery)
    dry = replace(plan, batch=replace(plan.batch, dry_run=True))
    _, steps, heard = run(tiny_model, dry, gallery, EVERY)
    assert heard.lines == ["mosaic: would be learnt first"]
    assert [step.status for step in steps] == ["new"] * 3 and not Path("out").exists()


@pytest.mark.parametrize(
    ("photos", "refused", "seconds", "is_learnt"),
    [(10, 0.0, None, False), (1, 1.0, None, False), (10, 0.9, None, True), (10, 0.9, 1e5, False)],
    ids=["good enough", "one", "many", "too long"],
)
def test_a_style_is_learnt_where_that_costs_less_than_renders(
    photos: int, refused: float, seconds: float | None, is_learnt: bool
) -> None:
    choice = choose(Orders(False, seconds), photos, refused, megapixels=0.3)
    assert choice.is_learnt is is_learnt and choice.reason


def test_auto_learns_or_renders_what_the_gate_refuses(
    tiny_model: Model, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = []

    def render(model: Model, photo: Picture, *_: object, **options: object) -> Refinement:
        rendered.append(photo.name)
        return Refinement(photo, "render", "for a test", None)

    monkeypatch.setattr(gate, "decide", lambda measure: Verdict(False, "refused"))
    monkeypatch.setattr(refine, "stylize_refined", render)
    auto = replace(make_plan(tiny_model, gallery), config=StylizeConfig(quality="auto"))
    monkeypatch.setattr(batch_learning, "LEARNING_SECONDS", 1e9)
    _, _, heard = run(tiny_model, auto, gallery, AUTO)
    assert heard.lines[0].startswith("mosaic: it is not learnt, about 3 of 3 photos need more")
    assert len(rendered) == 3 and '"way": "render"' in Path("out", JOURNAL).read_text()
    # What is made is not judged again.
    _, steps, heard = run(tiny_model, auto, gallery, AUTO)
    assert ([step.status for step in steps], heard.lines) == (["skipped"] * 3, [])
    monkeypatch.setattr(batch_learning, "LEARNING_SECONDS", 0.0)
    other = replace(auto, output=Path("other"))
    learnt, _, heard = run(tiny_model, other, gallery, AUTO)
    assert heard.lines[0].startswith("mosaic: it is learnt, about 3 of 3")
    assert 0 in learnt.styles.adapters and len(rendered) == 3
