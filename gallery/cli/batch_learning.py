"""What `adain batch` says and shows while it learns paintings."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from adain.engine.torch_extra import require_torch
from gallery.cli.learn import read_time
from gallery.cli.streams import complain, progress
from gallery.config import StylizeConfig, database_url
from gallery.signals import stop_on_interrupt

if TYPE_CHECKING:
    from adain.engine.model import Model
    from gallery.use_cases.batch import BatchJob, BatchPlan
    from gallery.use_cases.batch_learning import BatchLearner, Orders
    from gallery.use_cases.journal import Journal


def read_orders(learn: str | None, config: StylizeConfig) -> "Orders | None":
    """Return what is to be learnt; None if nothing is.

    Args:
        learn: The time for each painting.
        config: Whose `quality` says whether all are worth it.

    Raises:
        ValueError: If the time is none, or what is learnt would not be used.
        TorchMissing: If torch is not installed.
    """
    seconds = read_time(learn)
    if seconds is not None and not config.adapter:
        raise ValueError("--learn and --no-adapter contradict each other")
    if seconds is None and config.quality == "fast":
        return None
    require_torch("--learn" if seconds is not None else f"--quality {config.quality}")
    if seconds is None and (config.quality == "best" or not config.adapter):
        return None
    from gallery.use_cases.batch_learning import Orders

    return Orders(config.quality != "auto", seconds)


def make_learner(
    orders: "Orders", network: "Model", journal: "Journal", database: str | None
) -> "BatchLearner":
    """Return what learns the styles of a batch."""
    from gallery.database.gallery import make_gallery, open_gallery
    from gallery.use_cases.batch_learning import BatchLearner

    url = database_url(database)
    return BatchLearner(orders, network, journal, open_gallery(url), partial(make_gallery, url))


def learn_first(
    learner: "BatchLearner",
    plan: "BatchPlan",
    jobs: "Sequence[BatchJob]",
    failed: Callable[[Exception], None],
    quiet: bool,
) -> "BatchPlan":
    """Learn the styles of jobs that are to be, and return the plan with what was learnt.

    Raises:
        KeyboardInterrupt: If it was interrupted; what was learnt so far is kept.
    """
    from gallery.use_cases.batch_learning import Told

    with stop_on_interrupt() as stopped, progress(1, quiet, "learning") as advance:
        done = 0.0

        def share(now: float) -> None:
            nonlocal done
            advance(now - done)  # Back to the start where another style begins.
            done = now

        told = Told(
            line=(lambda line: None) if quiet else complain,
            share=share,
            error=failed,
            is_stopped=lambda: bool(stopped),
        )
        prepared = learner(plan, jobs, told)
    if stopped:
        raise KeyboardInterrupt
    return prepared
