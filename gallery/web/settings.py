"""Settings of the web service and its limits; none of them can be switched off."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adain.config import check_settings, setting

if TYPE_CHECKING:
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
        film_seconds: Longest part of a film that is painted, in seconds.
        film_bytes: Bytes of a request with a film.
        film_side: Longest side of a painted film in pixels.
        queue: Pictures that wait for the network.
        live: Live connections; each keeps a place for a picture.
        jobs: Jobs that wait or run.
        deadline: Seconds after which a request that still waits is given up.
        upload_seconds: How long a client may take to send its request.
        reads_per_minute: Requests of one client, by key or address, that look things up.
        paints_per_minute: Requests of one client that need the network.
    """

    host: str = setting("127.0.0.1", "Address to listen on.", metavar="ADDRESS")
    port: int = setting(8110, "Port; 0 takes a free one.", 0, high=65535, metavar="N")
    names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    insecure: bool = setting(False, "Let other machines in without a key.")
    max_body: int = 32 * 2**20
    max_bodies: int = 256 * 2**20
    max_pixels: int = 50_000_000
    max_side: int = setting(
        8192, "Longest side of a result.", 16, high=8192, unit="pixels", metavar="PX"
    )
    film_seconds: float = setting(
        60.0, "Longest part of a film that is painted.", 1, high=36_000, unit="seconds", metavar="S"
    )
    film_bytes: int = setting(
        64 * 2**20, "Largest film.", 2**10, high=2**29, unit="bytes", metavar="N"
    )
    film_side: int = setting(
        1280, "Longest side of a painted film.", 16, high=4096, unit="pixels", metavar="PX"
    )
    queue: int = setting(32, "Pictures that may wait.", 1, metavar="N")
    live: int = 4
    jobs: int = 32
    deadline: float = 60
    upload_seconds: float = 30
    reads_per_minute: int = 1200
    paints_per_minute: int = 600

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("max_body", "max_bodies", "max_pixels", "live", "jobs", "deadline",
                     "upload_seconds", "reads_per_minute", "paints_per_minute"):  # fmt: skip
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
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
    def photo_limits(self) -> "ImageLimits":
        """Return what pictures are accepted."""
        from adain.imaging.reading import ImageLimits

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
