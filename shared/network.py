"""The way out: connections that are opened to public addresses only, and end in time."""

from __future__ import annotations

import http.client
import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from shared import errors

MOST_ADDRESSES = 4  # of one name that are tried
LONGEST_ANSWER = 65_536  # bytes that are read from a connection

# The IANA special-purpose registries, written out: `is_global` lets several of these pass.
_NOT_PUBLIC_4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local: the metadata server
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
]
# All else is loopback, mapped, compatible, translated, site-local, link-local, multicast, reserved.
_GLOBAL_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: any IPv4 address
        "3fff::/20",  # documentation
    )
]

Address = IPv4Address | IPv6Address


def is_public(address: Address) -> bool:
    """It is global unicast, and no form of an IPv4 address in disguise."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)


@dataclass(frozen=True, kw_only=True)
class Network:
    """How names are resolved and connections opened; a test brings its own."""

    resolve: Callable[..., Sequence[Any]] = socket.getaddrinfo
    dial: Callable[[tuple[str, int], float], socket.socket] = socket.create_connection

    def addresses(self, host: str, port: int, seconds: float) -> list[Address]:
        """The addresses of a name, in the order to try them; waits `seconds` at most.

        Raises `errors.Invalid` where there is no such name, `errors.Unavailable` where nobody can
        tell now.
        """
        found: queue.SimpleQueue[Sequence[Any] | Exception] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                found.put(self.resolve(host, port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError) as error:
                found.put(error)

        threading.Thread(target=look_up, daemon=True).start()  # it knows no timeout of its own
        try:
            answer = found.get(timeout=seconds)
        except queue.Empty:
            answer = TimeoutError()
        if isinstance(answer, Exception):
            if getattr(answer, "errno", None) in (socket.EAI_NONAME, socket.EAI_NODATA):
                raise errors.Invalid(f"{host} does not exist")
            raise errors.Unavailable(f"{host} cannot be resolved now")
        return list(dict.fromkeys(ip_address(entry[4][0]) for entry in answer))

    def connect(self, found: Sequence[Address], port: int, deadline: float) -> Wire:
        """A connection to the first of these very addresses that answers; raises OSError."""
        tried = found[:MOST_ADDRESSES]
        for number, address in enumerate(tried, start=1):
            seconds = time_left(deadline) / (len(tried) - number + 1)
            try:
                return Wire(self.dial((str(address), port), seconds), deadline)
            except OSError:
                if number == len(tried):
                    raise
        raise OSError("there is no address")


class Wire(io.RawIOBase):
    """A connection that carries so many bytes and until such a time, however they trickle.

    It stands in for the socket of an `http.client` connection. Every operation raises TimeoutError
    once the deadline (on the monotonic clock) has passed.
    """

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        """Owns the connection: closing the one closes the other."""
        self._connection, self._deadline = connection, deadline
        self._quota = LONGEST_ANSWER

    def secure(self, host: str) -> None:
        """Starts TLS; the certificate must be for `host`, whatever the address. Raises SSLError."""
        import certifi

        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())  # a slim image may have none of its own
        self._arm()
        self._connection = context.wrap_socket(self._connection, server_hostname=host)

    def sendall(self, data: bytes) -> None:
        """Sends it all."""
        self._arm()
        self._connection.sendall(data)

    def readable(self) -> bool:
        """It can be read from."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads what is there; raises HTTPException where that is too much."""
        self._arm()
        count = self._connection.recv_into(buffer)
        self._quota -= count
        if self._quota < 0:
            raise http.client.HTTPException("the answer is too long")
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What an answer is read from."""
        return io.BufferedReader(self)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()
        super().close()

    def _arm(self) -> None:
        """Gives the next operation the time that is left."""
        self._connection.settimeout(time_left(self._deadline))


def time_left(deadline: float) -> float:
    """The seconds until a deadline on the monotonic clock; raises TimeoutError where none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
