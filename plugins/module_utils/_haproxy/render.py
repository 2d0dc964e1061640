# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a service's configuration file."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Server, Service

_HEADER = """\
# Managed by Ansible (phoenix.webstack.haproxy_backend).
# The running HAProxy holds the same servers; edits by hand are undone.
"""


def render(service: Service) -> str:
    """Write a service's frontend and backend as one configuration file."""
    return "\n".join(
        [
            _HEADER,
            _section("frontend", service.name, _frontend(service)),
            _section("backend", service.name, _backend(service)),
        ]
    )


def server_line(server: Server) -> str:
    """Write the line of one server; everything else about it stands in ``default-server``."""
    return f"server {server.name} {server.endpoint}"


def _frontend(service: Service) -> t.Iterator[str]:
    for address in service.bind:
        yield f"bind {address}"
    # Without it a reload closes idle keep-alive connections under their clients' hands.
    yield "option idle-close-on-response"
    yield from service.frontend_options
    yield f"default_backend {service.name}"


def _backend(service: Service) -> t.Iterator[str]:
    yield f"balance {service.balance}"
    yield "option forwardfor"
    yield "option httpchk"
    yield f"http-check send meth GET uri {service.check_path} ver HTTP/1.1 hdr Host {service.check_host}"
    yield "http-check expect status 200-299"
    # A request that may have been carried out is never sent a second time.
    yield "http-request disable-l7-retry unless METH_GET or METH_OPTIONS"
    yield from service.backend_options
    yield _default_server(service)
    for server in service.servers:
        yield server_line(server)


def _default_server(service: Service) -> str:
    interval = round(service.check_interval * 1000)
    # The first answer that differs asks for the next ones at once, and a server that is DOWN is not kept waiting:
    # whoever repoints a service waits for these checks.
    hurried = max(1, interval // 4)
    line = (
        f"default-server check inter {interval}ms fastinter {hurried}ms downinter {hurried}ms"
        f" fall {service.check_fall} rise {service.check_rise} observe layer4 on-error mark-down"
    )
    return f"{line} {service.server_options}".rstrip()


def _section(kind: str, name: str, lines: t.Iterable[str]) -> str:
    return "".join([f"{kind} {name}\n", *(f"    {line}\n" for line in lines)])
