"""Connections to the public internet alone.

The address that a connection has really reached is checked before a byte is sent, so that it does
not matter what a name resolved to before.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from gallery.errors import DownloadError

_NAT64 = IPv6Network("64:ff9b::/96")

# Beyond what `is_global` says, which differs between versions of Python.
_SPECIAL = tuple(
    ip_network(block)
    for block in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16",
                  "3fff::/20")
)  # fmt: skip
_UNICAST = IPv6Network("2000::/3")
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet.

    IPv4 inside IPv6 (mapped, NAT64, ISATAP) is judged by itself; 6to4 and Teredo are refused.

    >>> is_public("8.8.8.8"), is_public("::ffff:127.0.0.1"), is_public("169.254.169.254")
    (True, False, False)
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return False
        inner = _inner_ipv4(ip)
        if inner is not None:
            wrapped = ip.ipv4_mapped is not None or ip in _NAT64
            return is_public(str(inner)) and (wrapped or _is_plain(ip))
    return _is_plain(ip)


def _inner_ipv4(ip: IPv6Address) -> IPv4Address | None:
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip in _NAT64 or (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


def _is_plain(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv6Address) and ip not in _UNICAST:
        return False
    blocked = any(ip in block for block in _SPECIAL if block.version == ip.version)
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or blocked)


class Guard:
    """Checks the connection of a host and can cut it."""

    def __init__(self, permits: Callable[[str], bool]) -> None:
        self.expired = False
        self._permits = permits
        self._socket: socket.socket | None = None

    @property
    def connected(self) -> bool:
        """Return whether the host was reached."""
        return self._socket is not None

    def take(self, connection: socket.socket) -> None:
        """Take over a new connection.

        Raises:
            DownloadError: If the address is not public, or the time is over.
        """
        address = connection.getpeername()[0]
        if self.expired or not self._permits(address):
            connection.close()
            reason = "the time is over" if self.expired else "the address is not public"
            raise DownloadError(reason)
        # A duplicate, since TLS takes the socket itself away.
        self._socket = connection.dup()

    def cut(self) -> None:
        """End the connection, whatever another thread is doing with it."""
        self.expired = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Forget the connection."""
        taken, self._socket = self._socket, None
        if taken is not None:
            taken.close()


class _HTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, guard: Guard, **options: Any) -> None:
        super().__init__(*args, **options)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        self._guard.take(connection)
        return connection


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    pass


class GuardedAdapter(HTTPAdapter):
    """Makes connections that the guard has checked."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        super().__init__(pool_connections=1, pool_maxsize=1)

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> HTTPConnectionPool:
        """Return a pool whose connections the guard checks."""
        pool = super().get_connection_with_tls_context(*args, **options)
        assert isinstance(pool, HTTPConnectionPool)
        is_https = isinstance(pool, HTTPSConnectionPool)
        pool.ConnectionCls = _HTTPSConnection if is_https else _HTTPConnection
        pool.conn_kw["guard"] = self._guard
        return pool
