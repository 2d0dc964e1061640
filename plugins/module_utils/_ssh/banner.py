# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new TCP connection to an SSH port finds: a banner, or what stands in the way."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import errno
import ipaddress
import socket
import time
import typing as t

# RFC 4253, section 4.2. Said at once, for two reasons: sshd notes a client that left instead of a scan, and a
# service that waits for its client to begin (a web server, say) shows what it is.
OWN_BANNER = b"SSH-2.0-phoenix.webstack\r\n"
LARGEST_GREETING = 8192
# What sshd says instead of a banner when it turns a client away for a while.
TURNED_AWAY = ("Not allowed at this time", "Exceeded MaxStartups")
AT_A_TIME = 16

OPEN = "open"
STATUSES = {
    OPEN: "An SSH server answered.",
    "refused": "Nothing listens on the port, or a firewall rejects.",
    "timeout": "No answer: a firewall drops, or the host is down.",
    "unreachable": "The network has no way to the host.",
    "unresolved": "The name has no address.",
    "silent": "Something accepted the connection and said nothing.",
    "closed": "Something accepted the connection and closed it before it said anything.",
    "throttled": "The SSH server turns this client away for a while.",
    "foreign": "Another service answered.",
    "not_admitted": "Not tried, since SSH is not meant to be open to this machine.",
}
UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL, errno.EACCES})


@dataclasses.dataclass(frozen=True)
class Target:
    """One SSH port to look at; ``admitted`` are the networks it is open to, none meaning all."""

    name: str
    address: str
    port: int
    admitted: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found: ``status`` is one of `STATUSES`, ``detail`` the system's or the service's own words."""

    status: str
    detail: str = ""
    banner: str = ""


class Connection(t.Protocol):
    """As much of a socket as is needed here."""

    def sendall(self, data: bytes) -> None:
        """Send all of it."""

    def recv(self, size: int) -> bytes:
        """Receive some."""

    def settimeout(self, seconds: float) -> None:
        """Bound every later call."""

    def close(self) -> None:
        """Close it."""


Connect = t.Callable[[t.Tuple[str, int], float], Connection]  # noqa: UP006 (evaluated on Python 3.8)


def classify_greeting(greeting: bytes) -> Finding:
    """Tell what the first bytes of a service say about it.

    An SSH server may send other lines ahead of its banner (RFC 4253, section 4.2).
    """
    lines = [printable(line) for line in greeting.splitlines() if line.strip()]
    banner = next((line for line in lines if line.startswith("SSH-")), None)
    if banner is not None:
        return Finding(OPEN, banner=banner)
    if not lines:
        return Finding("closed")
    if lines[0].startswith(TURNED_AWAY):
        return Finding("throttled", detail=lines[0])
    return Finding("foreign", detail=lines[0])


def classify_error(error: OSError) -> Finding:
    """Tell what an error of the connection means."""
    if isinstance(error, socket.gaierror):
        return Finding("unresolved", detail=error.strerror or str(error))
    if isinstance(error, ConnectionRefusedError):
        return Finding("refused", detail=error.strerror or str(error))
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return Finding("closed", detail=error.strerror or str(error))
    if isinstance(error, (socket.timeout, TimeoutError)):
        return Finding("timeout")
    if error.errno in UNREACHABLE:
        return Finding("unreachable", detail=error.strerror or str(error))
    return Finding("unreachable", detail=str(error))


def printable(line: bytes) -> str:
    """One line of a stranger's words, cut and without control characters."""
    text = line[:120].decode("ascii", "replace").strip()
    return "".join(character if character.isprintable() else "?" for character in text)


def is_admitted(*, source: str, networks: t.Iterable[str]) -> bool:
    """Tell whether ``source`` lies in one of ``networks``; no networks admit everybody."""
    wanted = [ipaddress.ip_network(network, strict=False) for network in networks]
    address = ipaddress.ip_address(source.split("%", maxsplit=1)[0])
    return not wanted or any(address in network for network in wanted if network.version == address.version)


def source_address(target: Target) -> str:
    """Return the address from which this machine would talk to ``target``; nothing is sent."""
    family, kind, protocol, _name, address = socket.getaddrinfo(target.address, target.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])


def read_greeting(connection: Connection, *, deadline: float) -> bytes:
    """Read until a banner line is whole, the peer closes, or the time is over."""
    greeting = b""
    while len(greeting) < LARGEST_GREETING:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        connection.settimeout(remaining)
        try:
            received = connection.recv(1024)
        except socket.timeout:
            break
        if not received:
            return greeting
        greeting += received
        # Whole lines only: the last piece may still grow.
        if any(line.startswith(b"SSH-") for line in greeting.split(b"\n")[:-1]):
            return greeting
    if not greeting:
        raise SilentError
    return greeting


class SilentError(Exception):
    """The connection was accepted, and nothing was said in time."""


def probe(
    target: Target,
    *,
    timeout: float,
    connect: Connect = socket.create_connection,
    source: t.Callable[[Target], str] = source_address,
) -> Finding:
    """Open one new connection to ``target``, read its banner, and leave."""
    deadline = time.monotonic() + timeout
    try:
        if target.admitted and not is_admitted(source=source(target), networks=target.admitted):
            return Finding("not_admitted")
        connection = connect((target.address, target.port), timeout)
    except OSError as error:
        return classify_error(error)
    try:
        connection.sendall(OWN_BANNER)
        return classify_greeting(read_greeting(connection, deadline=deadline))
    except SilentError:
        return Finding("silent")
    except OSError as error:
        return classify_error(error)
    finally:
        connection.close()


def probe_all(targets: t.Sequence[Target], *, timeout: float) -> list[Finding]:
    """Look at all ``targets``, several at a time, each of them once.

    sshd since OpenSSH 9.8 remembers clients that connect without logging in, and turns away those that do so often.
    """
    with concurrent.futures.ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
        return list(pool.map(lambda target: probe(target, timeout=timeout), targets))
