"""Settings of the web service and its limits; none of them can be switched off."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from adain.imaging.reading import ImageLimits

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServeConfig:
    """Where the service listens and what it accepts.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        names: Further host names by which it may be called.
        origins: Origins of other sites whose pages may call it (CORS).
        insecure: Whether everybody who reaches it may use it, without a key, even from elsewhere.
        max_body: Bytes of a request.
        max_bodies: Bytes of all requests together that wait or are worked on.
        max_pixels: Width times height of an uploaded picture.
        max_side: Longest side of a result in pixels.
        queue: Pictures that wait for the network.
        live: Live connections; each keeps a place for a picture.
        jobs: Jobs that wait or run.
        deadline: Seconds after which a request that still waits is given up.
        upload_seconds: How long a client may take to send its request.
        reads_per_minute: Requests of one client, by key or address, that look things up.
        paints_per_minute: Requests of one client that need the network.
    """

    host: str = "127.0.0.1"
    port: int = 8110
    names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    insecure: bool = False
    max_body: int = 32 * 2**20
    max_bodies: int = 256 * 2**20
    max_pixels: int = 50_000_000
    max_side: int = 2048
    queue: int = 32
    live: int = 4
    jobs: int = 32
    deadline: float = 60
    upload_seconds: float = 30
    reads_per_minute: int = 1200
    paints_per_minute: int = 600

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be from 0 to 65535, got {self.port}")
        for name in ("max_body", "max_bodies", "max_pixels", "queue", "live", "jobs", "deadline",
                     "upload_seconds", "reads_per_minute", "paints_per_minute"):  # fmt: skip
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 16 <= self.max_side <= 8192:
            raise ValueError(f"max-side must be from 16 to 8192 pixels, got {self.max_side}")
        if "*" in self.origins:
            raise ValueError("name the origins that may call the service; '*' is not accepted")

    @property
    def is_local(self) -> bool:
        """Return whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check_access(self, keys: Sequence[object]) -> None:
        """Refuse to let others in without a key, unless that is asked for.

        Raises:
            ValueError: If they could come in.
        """
        if not (keys or self.is_local or self.insecure):
            raise ValueError(
                f"{self.host} can be reached from other machines: make a key with "
                "'adain key add NAME', or give --insecure to let everybody in"
            )

    @property
    def photo_limits(self) -> ImageLimits:
        """Return what pictures are accepted."""
        return ImageLimits(max_bytes=self.max_body, max_pixels=self.max_pixels, max_side=16_384)

    def allows_host(self, name: str) -> bool:
        """Return whether a client may call the service by this host name.

        A page of another site that points its own name to this machine (DNS rebinding) calls by
        that name. Addresses cannot be pointed elsewhere.
        """
        if name in (*LOOPBACK_NAMES, self.host, *self.names):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return not self.is_local
