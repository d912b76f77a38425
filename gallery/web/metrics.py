"""Counters of the service, for Prometheus; labels never hold what a user wrote."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "adain_requests", "Requests", ("route", "method", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "adain_request_seconds",
            "Time of a request",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "adain_stage_seconds",
            "Time of a stage of painting",
            ("stage",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.rejected = Counter(
            "adain_rejected", "Requests refused, by problem code", ("code",), registry=self.registry
        )
        self.previews = Counter(
            "adain_previews",
            "Previews, by where they came from",
            ("source",),
            registry=self.registry,
        )
        self.frames = Counter(
            "adain_live_frames", "Frames of live connections", ("fate",), registry=self.registry
        )

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a value as it is when somebody looks."""
        Gauge(name, meaning, registry=self.registry).set_function(value)
