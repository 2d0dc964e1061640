# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words the balancer's code speaks in: servers, a published service, what the runtime says."""

from __future__ import annotations

import dataclasses
import zlib

READY = "ready"
DRAIN = "drain"
MAINT = "maint"


def endpoint(address: str, port: int) -> str:
    """Write an address and a port as HAProxy does: ``10.0.0.4:80``, ``[2001:db8::4]:80``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# Between a server's name and the mark of an address at which it is tried; no name of a caller has it.
_GUEST = ":"


def is_guest(name: str) -> bool:
    """Tell a new address that is being tried from a server of the service."""
    return _GUEST in name


def host_of(name: str) -> str:
    """Give the name of the server whose address a guest tries, or of the server itself."""
    return name.partition(_GUEST)[0]


@dataclasses.dataclass(frozen=True)
class Server:
    """One server of a backend as the caller wants it, or as a configuration file names it.

    :arg weight: Its share of the requests, 0 to 256.
    :arg state: ready; drain (no new requests, also after a restart); None where nobody has asked for either: what a
        person has set at runtime stays then.
    """

    name: str
    address: str
    port: int
    weight: int = 1
    state: str | None = None

    @property
    def guest(self) -> Server:
        """The same place under the name it has until the server of the old address is empty."""
        mark = zlib.crc32(self.endpoint.encode())
        return dataclasses.replace(self, name=f"{self.name}{_GUEST}{mark:08x}", state=None)

    @property
    def endpoint(self) -> str:
        """Where it answers, as ``address:port``."""
        return endpoint(self.address, self.port)


@dataclasses.dataclass(frozen=True)
class Service:
    """One published service: a frontend, and the backend of the same name behind it.

    :arg check_interval: Seconds between two health checks of a server that is UP; see ``render`` for the others.
    :arg slowstart: Seconds in which the share of a server that has come back grows to its whole.
    """

    name: str
    bind: tuple[str, ...]
    servers: tuple[Server, ...]
    balance: str = "roundrobin"
    check_path: str = "/healthz"
    check_host: str = "localhost"
    check_interval: float = 1.0
    check_fall: int = 2
    check_rise: int = 2
    slowstart: float = 0.0
    server_options: str = ""
    frontend_options: tuple[str, ...] = ()
    backend_options: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RuntimeServer:
    """One server as the running HAProxy sees it.

    :arg status: The word of ``show stat``: UP, DOWN, DRAIN, MAINT, or a step between two (``DOWN 1/2``).
    :arg healthy: What the health checks say, whatever the admin state.
    :arg admin: What a person or a program asked for: ready, drain or maint.
    :arg check: The last check's outcome, such as ``L7OK 200`` or ``L4CON Connection refused``.
    :arg sessions: Requests in flight there.
    """

    name: str
    address: str
    port: int
    status: str
    healthy: bool
    checked: bool
    admin: str
    check: str
    sessions: int
    weight: int = 1

    @property
    def endpoint(self) -> str:
        """Where requests are sent, as ``address:port``."""
        return endpoint(self.address, self.port)

    @property
    def serving(self) -> bool:
        """Whether new requests may be sent there."""
        return self.admin == READY and self.healthy


# The servers of one backend by name; None where the running HAProxy has no such backend.
RuntimeServers = dict[str, RuntimeServer]
