# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words the balancer's code speaks in: servers, a published service, what the runtime says."""

from __future__ import annotations

import dataclasses

READY = "ready"
DRAIN = "drain"
MAINT = "maint"


def endpoint(address: str, port: int) -> str:
    """Write an address and a port as HAProxy does: ``10.0.0.4:80``, ``[2001:db8::4]:80``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclasses.dataclass(frozen=True)
class Server:
    """One server of a backend as the caller wants it, or as a configuration file names it."""

    name: str
    address: str
    port: int

    @property
    def endpoint(self) -> str:
        """Where it answers, as ``address:port``."""
        return endpoint(self.address, self.port)


@dataclasses.dataclass(frozen=True)
class Service:
    """One published service: a frontend, and the backend of the same name behind it.

    :arg check_interval: Seconds between two health checks of a server that is UP; see ``render`` for the others.
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
