"""Server-side request forgery: what must be refused, and a world that notes what was dialled."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from shared import network

# Addresses that no callback may go to, whatever name they come from.
ADDRESSES: Mapping[str, str] = {
    "metadata": "169.254.169.254",
    "link-local": "169.254.1.1",
    "loopback": "127.0.0.1",
    "loopback, another": "127.8.9.1",
    "this host": "0.0.0.0",
    "this network": "0.1.2.3",
    "private 10": "10.0.0.1",
    "private 172": "172.16.0.1",
    "private 172, the end": "172.31.255.255",
    "private 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "carrier-grade NAT, the end": "100.127.255.255",
    "protocol assignments": "192.0.0.8",
    "documentation 1": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "6to4 relay": "192.88.99.1",
    "benchmark": "198.18.0.1",
    "benchmark, the end": "198.19.255.255",
    "multicast": "224.0.0.1",
    "multicast, the end": "239.255.255.255",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "unspecified 6": "::",
    "loopback 6": "::1",
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped metadata": "::ffff:169.254.169.254",
    "mapped public": "::ffff:8.8.8.8",
    "compatible loopback": "::127.0.0.1",
    "compatible metadata": "::a9fe:a9fe",
    "translated": "::ffff:0:127.0.0.1",
    "NAT64 metadata": "64:ff9b::a9fe:a9fe",
    "NAT64 public": "64:ff9b::8.8.8.8",
    "NAT64, local": "64:ff9b:1::a9fe:a9fe",
    "6to4 loopback": "2002:7f00:1::",
    "6to4 metadata": "2002:a9fe:a9fe::1",
    "Teredo": "2001:0:a9fe:a9fe::1",
    "benchmark 6": "2001:2::1",
    "ORCHID": "2001:10::1",
    "documentation 6": "2001:db8::1",
    "documentation 6, new": "3fff::1",
    "discard": "100::1",
    "unique local": "fc00::1",
    "unique local, metadata": "fd00:ec2::254",
    "site-local": "fec0::1",
    "link-local 6": "fe80::1",
    "multicast 6": "ff02::1",
    "segment routing": "5f00::1",
    "reserved 6": "4000::1",
}

PUBLIC = (
    *("8.8.8.8", "1.1.1.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "223.255.255.255"),
    *("2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001:80b::200e"),
)

# URLs that are refused for what they say, or for what their host is.
URLS: Mapping[str, str] = {
    "decimal": "https://2130706433/",
    "decimal metadata": "https://2852039166/",
    "hexadecimal": "https://0x7f000001/",
    "hexadecimal, dotted": "https://0xa9.0xfe.0xa9.0xfe/",
    "octal": "https://017700000001/",
    "octal, dotted": "https://0251.0376.0251.0376/",
    "leading zero": "https://0127.0.0.1/",
    "short form": "https://127.1/",
    "shortest form": "https://0/",
    "full-width digits": "https://１２７.0.0.1/",
    "circled digits": "https://①②⑦.⓪.⓪.①/",
    "ideographic dots": "https://127。0。0。1/",
    "percent-encoded": "https://%31%32%37.0.0.1/",
    "metadata by name": "https://metadata.google.internal/computeMetadata/v1/",
    "metadata, short": "https://metadata/",
    "localhost": "https://localhost/",
    "localhost, a dot": "https://localhost./",
    "under localhost": "https://a.localhost/",
    "mDNS": "https://printer.local/",
    "trailing dot": "https://hooks.example.com./",
    "empty label": "https://hooks..example.com/",
    "no host": "https:///path",
    "no slashes": "https:hooks.example.com",
    "only a port": "https://:443/",
    "zone id": "https://[fe80::1%25eth0]/",
    "IPvFuture": "https://[v1.fe80::a+en1]/",
    "half a bracket": "https://[::1/",
    "user": "https://user@hooks.example.com/",
    "user and password": "https://user:pass@hooks.example.com/",
    "user that looks like a host": "https://hooks.example.com@169.254.169.254/",
    "backslash": "https://hooks.example.com\\@169.254.169.254/",
    "fragment that looks like a host": "https://169.254.169.254#@hooks.example.com/",
    "fragment": "https://hooks.example.com/#part",
    "port 22": "https://hooks.example.com:22/",
    "port 80": "https://hooks.example.com:80/",
    "port 6379": "https://hooks.example.com:6379/",
    "port 0": "https://hooks.example.com:0/",
    "port 65536": "https://hooks.example.com:65536/",
    "port, signed": "https://hooks.example.com:+443/",
    "port, empty": "https://hooks.example.com:/",
    "plain http": "http://hooks.example.com/",
    "plain http on 443": "http://hooks.example.com:443/",
    "ftp": "ftp://hooks.example.com/",
    "file": "file:///etc/passwd",
    "gopher": "gopher://hooks.example.com:443/_x",
    "javascript": "javascript:alert(1)",
    "relative": "/path",
    "scheme-relative": "//hooks.example.com/",
    "empty": "",
    "tab": "https://hooks.example\t.com/",
    "newline": "https://hooks.example.com/\r\nX-Header:1",
    "space": "https://hooks.example.com/a b",
    "leading space": " https://hooks.example.com/",
    "NUL": "https://hooks.example.com\0.localhost/",
    "not ASCII": "https://höoks.example.com/",
    "too long": "https://hooks.example.com/" + "x" * 2048,
}

HOST = "hooks.example.com"  # resolves to what a test says


class World:
    """Names with successive answers; notes what is looked up and dialled.

    A dialled address is connected to `server`, a port of this machine, where there is one.
    """

    def __init__(
        self, names: Mapping[str, Sequence[Sequence[str]]] = {}, server: int | None = None
    ) -> None:
        self.names = {name: list(answers) for name, answers in names.items()}
        self.server = server
        self.looked_up: list[str] = []
        self.dialled: list[tuple[str, int]] = []
        self.network = network.Network(resolve=self._resolve, dial=self._dial)

    def _resolve(self, host: str, port: int, **kwargs: Any) -> Sequence[Any]:
        self.looked_up.append(host)
        answers = self.names.get(host)
        if answers is None:  # no name: what a resolver makes of numbers in whatever form
            return socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **kwargs)
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for each in addresses for entry in _entries(each, port)]

    def _dial(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.dialled.append(address)
        if self.server is None:
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1", self.server), timeout)

    @property
    def leaks(self) -> list[str]:
        """The addresses that were dialled and are not public."""
        return [host for host, _ in self.dialled if not network.is_public(ip_address(host))]


def _entries(address: str, port: int) -> list[Any]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return [(family, socket.SOCK_STREAM, 6, "", (address, port))]
