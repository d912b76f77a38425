"""`adain batch`: a folder of photos in, a folder of paintings out."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adain.config import Controls
from gallery.cli import options
from gallery.cli.batch_learning import learn_first, make_learner, read_orders
from gallery.cli.exits import debugging, describe, exit_code, usage
from gallery.cli.fields import help_of, spread
from gallery.cli.hints import refuse_no_style
from gallery.cli.streams import complain, emit, progress
from gallery.config import BatchConfig, StylizeConfig, database_url, threads_each
from gallery.errors import OutputError
from gallery.files import make_folder
from gallery.signals import hold_interrupts

if TYPE_CHECKING:
    from collections.abc import Callable

    from adain.engine.model import Model
    from gallery.use_cases.batch import BatchJob, BatchPlan, BatchStep, Run, Styles
    from gallery.use_cases.journal import Journal
    from gallery.use_cases.styles import ResolvedStyle

    Prepare = Callable[[BatchPlan, Sequence[BatchJob]], BatchPlan]
    Start = Callable[[BatchPlan], Run]

DEFAULTS = StylizeConfig()
BATCH = BatchConfig()

EXAMPLES = """\b
Examples:
  adain batch holiday/ painted/ --style irises --style senecio
  adain batch holiday/ painted/ --style paintings/ --assign nearest -r
  adain batch train/ stylized/ -r --style random --per-photo 3 --seed 7
  adain batch inbox/ painted/ --style irises --watch
  adain batch holiday/ painted/ --style mosaic.png --learn 5m
"""


@spread(without=("feather", "memory"))
def batch(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="IN_DIR", help="Folder of photos.")],
    output: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder of the results.")],
    style: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STYLE",
            help="A picture or a name, as for 'adain stylize', or a folder or pattern of pictures; "
            "repeat for several. 'random': all paintings of the gallery to choose from. "
            "NAME@person and NAME@background make one style of several.",
        ),
    ] = None,
    styles_from: Annotated[
        list[Path] | None,
        typer.Option(metavar="LIST", help="Also the styles that this file names, one a line."),
    ] = None,
    assign: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="Which styles a photo gets: every, round-robin, random or nearest; "
            "by default every, and random with '--style random'.",
        ),
    ] = None,
    per_photo: Annotated[
        int, typer.Option(metavar="N", help="Different styles at random for each photo.")
    ] = BATCH.per_photo,
    seed: options.Seed = None,
    learn: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Learn each painting first that was not learnt, for so long, as 90s, 5m or 1h; "
            "with --quality auto those where that costs less than renders.",
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Folders in the folder too, kept as they are.")
    ] = BATCH.recursive,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only photos of such names or paths.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="No photos or folders of such names.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with what comes into the folder, until Ctrl-C.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be made; write nothing.")
    ] = BATCH.dry_run,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a JSON object for each result to this file."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on a Ray cluster; 'local' is this machine."),
    ] = None,
    config: StylizeConfig = DEFAULTS,
    look: Controls = DEFAULTS.controls,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are not from a batch, too.")
    ] = DEFAULTS.overwrite,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help=help_of(BatchConfig, "jobs"))
    ] = BATCH.jobs,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each result, not the path.")
    ] = False,
    quiet: options.Quiet = False,
    database: options.Database = None,
) -> None:
    """Repaint a folder of photos.

    Prints the paths of the results that are new. A run that was stopped goes on where it was,
    and two runs on one folder share the work; for that a journal, adain-batch.jsonl, lies there.
    """
    if not style and not styles_from:
        refuse_no_style(ctx)
    from gallery.use_cases.style_lists import expand_styles

    style = expand_styles(style or (), styles_from or ())
    with usage():
        config = replace(config, overwrite=overwrite, controls=look)
        config = options.with_regions(config, style)
        chosen = assign or ("random" if style == [options.RANDOM] else BATCH.assign)
        batch = BatchConfig(
            recursive,
            tuple(include or ()),
            tuple(exclude or ()),
            chosen,
            per_photo,
            BATCH.seed if seed is None else seed,
            jobs,
            dry_run,
        )
        options.refuse_seed(seed, chosen == "random")
        if config.controls.regions and chosen != "every":
            raise ValueError(
                f"styles for parts of photos are one style; leave --assign {chosen} out"
            )
        orders = read_orders(learn, config)
        if config.controls.regions and orders is not None:
            raise ValueError("--learn works with whole styles; 'adain learn' those of parts first")
        _check_folders(source, output)
        if watch and (dry_run or ray):
            raise ValueError("--watch goes neither with --dry-run nor with --ray")
    from gallery.use_cases.batch import BatchPlan, BatchWorker, default_jobs, result_path
    from gallery.use_cases.journal import Journal

    with usage():
        result_path("photo.png", "style", config.format, config.bits)
    threads = threads_each(jobs or default_jobs())
    network = options.load_network(config.model, config.device, threads)
    with_targets = orders is not None or config.quality != "fast"
    styles = _find_styles(style, database, network, config, with_targets, quiet)
    plan = BatchPlan(source, output, styles, config, batch)
    with ExitStack() as stack:
        # First: nothing is made if there is no place for it.
        file = stack.enter_context(_opened(report, None if dry_run else output))
        journal = Journal(output, read_only=dry_run)
        stack.callback(journal.close)
        log = _Log(as_json, file, debugging(ctx), quiet)

        def prepare(plan: BatchPlan, jobs: "Sequence[BatchJob]") -> BatchPlan:
            return plan if learner is None else learn_first(learner, plan, jobs, log.failed, quiet)

        def start(plan: BatchPlan) -> "Run":
            return _runner(plan, BatchWorker(plan, network, journal), ray, stack)

        learner = None if orders is None else make_learner(orders, network, journal, database)
        try:
            if watch:
                _watch(plan, journal, prepare, start, log)
            else:
                _once(plan, journal, prepare, start, log, quiet)
        finally:
            if not quiet:
                complain(log.summary())
    raise typer.Exit(exit_code(log.errors, done=log.counts.total() - log.counts["failed"]))


class _Log:
    """Prints what became of each job, and keeps count."""

    def __init__(self, as_json: bool, report: Any, debug: bool, quiet: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: list[Exception] = []
        self._as_json = as_json
        self._report = report
        self._debug = debug
        self._quiet = quiet

    @hold_interrupts()  # What is counted is printed, too.
    def step(self, step: "BatchStep") -> None:
        self.counts[step.status] += 1
        if step.error is not None:
            if self._debug:
                raise step.error
            self.errors.append(step.error)
            complain(describe(step.error))
        elif step.note and not self._quiet:
            complain(f"{step.job.photo}: {step.note}")
        line = json.dumps(_values(step))
        if self._report is not None:
            print(line, file=self._report, flush=True)
        if self._as_json:
            emit(line)
        elif step.status in ("done", "new"):
            emit(str(step.output))

    def failed(self, error: Exception) -> None:
        """Count what went wrong besides jobs: a folder that cannot be read, say."""
        self.counts["failed"] += 1
        self.errors.append(error)
        complain(describe(error))

    def summary(self) -> str:
        first = "new" if self.counts["new"] else "done"
        return " ".join(f"{name}={self.counts[name]}" for name in (first, "skipped", "failed"))


def _values(step: "BatchStep") -> dict[str, object]:
    values: dict[str, object] = {"photo": step.job.photo, "status": step.status}
    if step.error is not None:
        return {**values, "error": describe(step.error)}
    values |= {"output": str(step.output), "style": step.style}
    if step.width:
        values |= {"width": step.width, "height": step.height, "seconds": step.seconds}
    return values | ({"note": step.note} if step.note else {})


def _check_folders(source: Path, output: Path) -> None:
    if not os.path.lexists(source):
        raise ValueError(f"{source}: is not there; check the path of the folder of photos")
    if not source.is_dir():
        raise ValueError(f"{source}: is not a folder; for single photos use 'adain stylize'")
    if os.path.realpath(source) == os.path.realpath(output):
        raise ValueError(f"{output}: holds the photos; choose another folder for the results")
    if os.path.lexists(output) and not output.is_dir():
        raise ValueError(f"{output}: is not a folder; choose another one for the results")


def _find_styles(
    texts: Sequence[str],
    database: str | None,
    network: "Model",
    config: StylizeConfig,
    with_targets: bool,
    quiet: bool,
) -> "Styles":
    """Return the styles that are named, if need be with what can be learnt of them."""

    def tell(styles: "Sequence[ResolvedStyle]") -> None:
        for style in styles:
            if style.note and not quiet:
                complain(style.note)

    from gallery.database.gallery import open_gallery
    from gallery.database.plain import learnt_from
    from gallery.database.vectors import join_vectors
    from gallery.use_cases.batch import Styles
    from gallery.use_cases.references import parse_reference, parse_references
    from gallery.use_cases.styles import find_style

    if texts == [options.RANDOM]:
        gallery = open_gallery(database_url(database))
        numbers, vectors = gallery.vectors(network.fingerprint)
        learnt = gallery.learnt_adapters(network.base) if config.adapter else {}
        adapters = {i: learnt[number] for i, number in enumerate(numbers) if number in learnt}
        paintings = gallery.pictures(numbers)
        slugs = tuple(each.slug for each in paintings)
        return Styles(slugs, vectors, adapters, dict(enumerate(paintings)) if with_targets else {})
    url, side = database_url(database), config.style_side
    look_up = partial(learnt_from, url)
    if config.controls.regions:
        with usage():
            parts = parse_references(texts, regions=True)
        joined = find_style(
            parts, lambda: open_gallery(url), side=side, learnt=config.adapter,
            look_up_picture=look_up,
        ).resolve(network)  # fmt: skip
        tell([joined])
        each = enumerate(joined.statistics.adapters)
        adapters = {i: adapter for i, adapter in each if adapter is not None}
        return Styles((joined.slug,), joined.statistics.to_vector(), adapters, together=True)
    with usage():
        references = [parse_reference(text) for text in texts]
        if any(reference.weight != 1 for reference in references):
            raise ValueError("styles of a batch have no weights; each one gives its own results")
        if options.RANDOM in texts:
            raise ValueError("'--style random' stands for all paintings; give it alone")
    found = find_style(
        references, lambda: open_gallery(url), side=side, learnt=config.adapter,
        look_up_picture=look_up,
    )  # fmt: skip
    styles = [part.resolve(network) for part in found.parts]
    tell(styles)
    vectors = join_vectors([style.statistics.to_vector() for style in styles])
    each = enumerate(style.statistics.adapter for style in styles)
    adapters = {i: adapter for i, adapter in each if adapter is not None}
    with usage():
        slugs = tuple(style.slug for style in styles)
        if not with_targets:
            return Styles(slugs, vectors, adapters)
        from gallery.use_cases.batch_learning import find_targets

        return Styles(slugs, vectors, adapters, find_targets(references, open_gallery(url)))


@contextmanager
def _opened(report: Path | None, output: Path | None) -> Iterator[Any]:
    if report is None:
        yield None
        return
    if output and os.path.realpath(report.parent) == os.path.realpath(output):
        make_folder(output)
    try:
        file = report.open("w", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{report}: cannot be written ({error.strerror})") from error
    with file:
        yield file


def _runner(plan: "BatchPlan", worker: Any, ray: str | None, stack: ExitStack) -> "Run":
    from gallery.use_cases.batch import default_jobs, run_threads

    if ray is not None:
        from gallery.use_cases.cluster import RayRunner

        runner = RayRunner(plan, ray)
        stack.callback(runner.close)
        return runner
    return lambda jobs: run_threads(worker, jobs, plan.batch.jobs or default_jobs())


def _once(
    plan: "BatchPlan",
    journal: "Journal",
    prepare: "Prepare",
    start: "Start",
    log: _Log,
    quiet: bool,
) -> None:
    from gallery.use_cases.batch import find_photos, plan_jobs, run_batch

    photos = list(find_photos(plan.source, plan.output, plan.batch, log.failed))
    if not photos and not quiet:
        complain(f"{plan.source}: no photos here that fit; --recursive looks into its folders")
    jobs = _without_clashes(plan, plan_jobs(plan, photos, journal), log)
    run = start(prepare(plan, jobs))
    with progress(len(jobs), hidden=quiet) as advance:

        def report(step: "BatchStep") -> None:
            log.step(step)
            advance()

        run_batch(jobs, run, report)


def _without_clashes(plan: "BatchPlan", jobs: "list[BatchJob]", log: _Log) -> "list[BatchJob]":
    from gallery.use_cases.batch import BatchStep, refuse_clashes

    refused = refuse_clashes(plan, jobs)
    for job, error in refused.items():
        log.step(BatchStep(job, "failed", error=error))
    return [job for job in jobs if job not in refused]


def _watch(
    plan: "BatchPlan", journal: "Journal", prepare: "Prepare", start: "Start", log: _Log
) -> None:
    """Repaint what is in the folder and what comes into it; Ctrl-C is the usual end."""
    from gallery.use_cases.batch import POLL, Watch, plan_jobs, run_batch

    watch = Watch(plan.source, plan.output, plan.batch, log.failed)
    run = start(plan)
    try:
        while True:
            jobs = plan_jobs(plan, watch.settled(), journal, start=journal.photos())
            prepared = prepare(plan, jobs)
            if prepared is not plan:
                plan, run = prepared, start(prepared)
            run_batch(jobs, run, log.step)
            time.sleep(POLL)
    except KeyboardInterrupt:
        complain("stopped watching")
