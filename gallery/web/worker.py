"""The one thread that runs the network, and the bounded queue before it."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, TypeVar

from gallery.web.problems import busy

T = TypeVar("T")

_Item = tuple[float, int, Callable[[], Any], Future[Any]]
"""Turn, number, work and what will hold its result."""


class Priority(IntEnum):
    """The order of work: seconds that work may wait for work of a smaller number.

    Somebody looks at a photo while previews fill in; but whoever paints without a pause does not
    keep others off for ever.
    """

    PAINT = 0
    PREVIEW = 5
    JOB = 60


class NetworkWorker:
    """Runs one piece of work after the other in a thread of its own.

    Two pictures at once would take as long as one after the other, and twice the memory. Work
    whose future is cancelled before it begins is never run, and leaves its place to others.

    Args:
        capacity: How much work may wait.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: list[_Item] = []
        self._places = 0
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = self._running = False
        self._seconds = 0.1
        """Moving average of what a piece of work takes."""
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Return how much work waits."""
        with self._changed:
            return self._count()

    @property
    def running(self) -> bool:
        """Return whether work is being done."""
        return self._running

    def submit(self, work: Callable[[], T], priority: Priority = Priority.PAINT) -> "Future[T]":
        """Queue a piece of work.

        Raises:
            Problem: `busy`, with the seconds after which there should be room again.
        """
        with self._changed:
            self._check_room()
            return self._add(work, priority)

    @contextmanager
    def place(self) -> Iterator[Callable[[Callable[[], T]], "Future[T]"]]:
        """Keep a place in the queue; gives what submits work there, one piece at a time.

        Raises:
            Problem: `busy`.
        """

        def submit(work: Callable[[], T]) -> "Future[T]":
            with self._changed:
                return self._add(work, Priority.PAINT)

        with self._changed:
            self._check_room()
            self._places += 1
        try:
            yield submit
        finally:
            with self._changed:
                self._places -= 1

    def make_way(self) -> None:
        """Do what is due; for long work to call between its steps, on the thread."""
        with self._changed:
            now = time.monotonic()
            due = sorted(item for item in self._waiting if item[0] <= now)
            self._waiting = [item for item in self._waiting if item[0] > now]
            heapq.heapify(self._waiting)
        for item in due:
            self._do(item)
        self._running = True

    def close(self) -> None:
        """Take no more work, finish what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _check_room(self) -> None:
        if self._count() + self._places >= self._capacity:
            seconds = min(30, self._seconds * self._capacity / 2)
            raise busy(f"{self._capacity} pictures are waiting already", seconds)

    def _add(self, work: Callable[[], T], priority: Priority) -> "Future[T]":
        if self._closed:
            raise busy("the service is stopping", 5)
        future: Future[T] = Future()
        turn = time.monotonic() + priority
        heapq.heappush(self._waiting, (turn, next(self._numbers), work, future))
        self._changed.notify()
        return future

    def _count(self) -> int:
        if any(item[3].cancelled() for item in self._waiting):
            self._waiting = [item for item in self._waiting if not item[3].cancelled()]
            heapq.heapify(self._waiting)
        return len(self._waiting)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return
                item = heapq.heappop(self._waiting)
            self._do(item)
            # The next work may be long in coming; a result may be large.
            del item

    def _do(self, item: _Item) -> None:
        _, _, work, future = item
        if not future.set_running_or_notify_cancel():
            return
        start = time.perf_counter()
        self._running = True
        try:
            future.set_result(work())
        except BaseException as error:  # Whoever waits shall know, whatever it is.
            future.set_exception(error)
        self._running = False
        self._seconds += 0.1 * (time.perf_counter() - start - self._seconds)
