"""The one thread that runs the network, and the bounded queue before it."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, TypeVar

from gallery.web.problems import busy

T = TypeVar("T")


class Priority(IntEnum):
    """What goes first: somebody looks at a photo while previews fill in."""

    PAINT = 0
    PREVIEW = 1
    JOB = 2


class Worker:
    """Runs one piece of work after the other in a thread of its own.

    Two pictures at once would take as long as one after the other, and twice the memory. Work
    whose future is cancelled before it begins is never run, and leaves its place to others.

    Args:
        capacity: How much work may wait.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: list[tuple[int, int, Callable[[], Any], Future[Any]]] = []
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
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise busy("the service is stopping", 5)
            if self._count() >= self._capacity:
                seconds = self._seconds * self._capacity / 2
                raise busy(f"{self._capacity} pictures are waiting already", seconds)
            heapq.heappush(self._waiting, (priority, next(self._numbers), work, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Take no more work, finish what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

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
                _, _, work, future = heapq.heappop(self._waiting)
            if not future.set_running_or_notify_cancel():
                continue
            start = time.perf_counter()
            self._running = True
            try:
                future.set_result(work())
            except BaseException as error:  # Whoever waits shall know, whatever it is.
                future.set_exception(error)
            self._running = False
            self._seconds += 0.1 * (time.perf_counter() - start - self._seconds)
            # The next work may be long in coming; a result may be large.
            del work, future
