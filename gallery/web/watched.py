"""News of a render of the web while it goes on, and the way to stop it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(Exception):
    """A render was stopped before its end.

    Attributes:
        checkpoint: Where another process can go on from.
    """

    def __init__(self, checkpoint: bytes) -> None:
        super().__init__()
        self.checkpoint = checkpoint


class Watched:
    """A render on one thread, as another one that asks now and then knows it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._losses: list[dict[str, Any]] = []
        self._files: dict[str, bytes] = {}
        self._stopped = False
        self.progress = 0.0
        """In [0, 1]."""

    @property
    def is_stopped(self) -> bool:
        """Return whether the render shall end."""
        return self._stopped

    def stop(self) -> None:
        """End the render after its step."""
        self._stopped = True

    def resume(self, losses: bytes | None) -> None:
        """Go on after the losses of an earlier attempt."""
        self._losses = json.loads(losses or b"[]")

    def tell(self, progress: float, scale: int, losses: dict[str, float]) -> None:
        """Add a step."""
        shown = {name: round(losses[name], 6) for name in ("loss", "content", "style")}
        with self._lock:
            self.progress = progress
            self._losses.append({"step": len(self._losses) + 1, "scale": scale, **shown})

    def keep(self, name: str, data: bytes) -> None:
        """Add a file."""
        with self._lock:
            self._files[name] = data

    @contextmanager
    def news(self) -> Iterator[dict[str, bytes]]:
        """Give the files that are new, and the losses once there are some, to whoever keeps them.

        If that fails they stay new, unless newer ones have come.
        """
        with self._lock:
            files, self._files = self._files, {}
            losses = {"losses": json.dumps(self._losses).encode()} if self._losses else {}
        try:
            yield files | losses
        except BaseException:
            with self._lock:
                self._files = files | self._files
            raise
