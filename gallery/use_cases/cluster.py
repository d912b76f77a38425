"""A batch on Ray Data: the same worker, in actors on one machine or on many.

Photos, results and the journal must be at the same paths everywhere, on a shared disk that knows
file locks. An actor that dies is started again by Ray, and what it was at is done once more.
"""

import logging
import math
import os
import pickle
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adain.engine.loading import load_model
from adain.errors import how_to_install
from gallery.errors import GalleryError
from gallery.use_cases.batch import BatchJob, BatchPlan, BatchStep, BatchWorker
from gallery.use_cases.journal import Journal

LOCAL = "local"
"""In place of an address: a Ray of its own on this machine."""


class ClusterError(GalleryError):
    """Ray is not installed, or its cluster cannot be reached."""


class RayWorker:
    """A worker of its own process; loads the network once."""

    def __init__(self, plan: BatchPlan) -> None:
        # Ray gives an actor one core.
        model = load_model(plan.config.model, plan.config.device, threads=1)
        self._worker = BatchWorker(plan, model, Journal(plan.output))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make a result; `job` and `step` are pickled."""
        step = self._worker(pickle.loads(row["job"]))
        return {"step": pickle.dumps(step)}


def connect(address: str) -> Any:
    """Return Ray, connected to a cluster.

    Raises:
        ClusterError: If it is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # Read when it is imported.
    try:
        import ray
    except ImportError as error:
        raise ClusterError(f"Ray is not installed; run: {how_to_install('ray')}") from error
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    try:
        with _no_standard_error():
            ray.init(
                address=address,
                include_dashboard=False if address == LOCAL else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                ignore_reinit_error=True,
                # Beside other programs, workers of the usual niceness 15 hardly come to run.
                _system_config={"worker_niceness": 0} if address == LOCAL else None,
                runtime_env={"env_vars": {"PYTHONPATH": path}} if address == LOCAL else None,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"{address}: no Ray cluster here ({error})") from error
    return ray


class RayRunner:
    """Carries out jobs on Ray.

    Raises:
        ClusterError: If Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, plan: BatchPlan, address: str = LOCAL) -> None:
        ray = connect(address)
        from ray.data import DataContext

        self._plan = plan
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        resources: dict[str, float] = ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        on_gpu = plan.config.device.startswith("cuda") or (plan.config.device == "auto" and gpus)
        # Actors that hold every core leave none to the readers, which then wait for ever: one for
        # each core, and together they hold one core less.
        size = gpus if on_gpu else cpus
        size = min(size, plan.batch.jobs or size)
        self._options: dict[str, Any] = {
            "num_cpus": math.floor(100 * max(0.5, cpus - 1) / max(size, cpus)) / 100,
            "num_gpus": 1 if on_gpu else 0,
        }
        self._size = size

    def __call__(self, jobs: Sequence[BatchJob]) -> Generator[BatchStep]:
        """Yield what became of each job, as it comes."""
        import ray
        from ray.data import ActorPoolStrategy

        # Small blocks: they are what is retried, and what the actors share the work by.
        blocks = max(1, min(math.ceil(len(jobs) / 4), 16 * self._size))
        rows = [{"job": pickle.dumps(job)} for job in jobs]
        steps = ray.data.from_items(rows, override_num_blocks=blocks).map(
            RayWorker,  # type: ignore[arg-type]
            fn_constructor_args=(self._plan,),
            compute=ActorPoolStrategy(size=min(self._size, blocks)),
            **self._options,
        )
        for row in steps.iter_rows():
            step: BatchStep = pickle.loads(row["step"])
            yield step

    def close(self) -> None:
        """Leave the cluster, or end the Ray of this machine."""
        import ray

        ray.shutdown()


@contextmanager
def _no_standard_error() -> Iterator[None]:
    """Hide what the compiled part of Ray prints: that it was told to print nothing."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
