# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a service's configuration file."""

from __future__ import annotations

import hashlib
import re
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import DRAIN, Server, Service

_HEADER = """\
# Managed by Ansible (phoenix.webstack.haproxy_backend).
# The running HAProxy holds the same servers; edits by hand are undone.
# Checksum: {checksum}
"""
# The lines of the two sections that are not the caller's own.
_LINES = [
    re.compile(pattern)
    for pattern in (
        r"option (idle-close-on-response|forwardfor|httpchk)",
        r"default_backend \S+",
        r"balance (?P<balance>.+)",
        r"http-check send meth GET uri (?P<path>\S+) ver HTTP/1\.1 hdr Host (?P<host>\S+)",
        r"http-check expect status 200-299",
        r"http-request disable-l7-retry unless METH_GET or METH_OPTIONS",
        r"default-server check inter (?P<interval>\d+)ms fastinter \d+ms downinter \d+ms"
        r" fall (?P<fall>\d+) rise (?P<rise>\d+) observe layer4 on-error mark-down"
        r"( slowstart (?P<slowstart>\d+)ms)?( (?P<options>.+))?",
    )
]
_CHECKSUM = re.compile(r"^# Checksum: ([0-9a-f]+)$", re.MULTILINE)


def render(service: Service) -> str:
    """Write a service's frontend and backend as one configuration file."""
    body = "\n".join(
        [
            _section("frontend", service.name, _frontend(service)),
            _section("backend", service.name, _backend(service)),
        ]
    )
    return f"{_HEADER.format(checksum=_checksum(body))}\n{body}"


def is_ours(text: str) -> bool:
    """Tell whether a file was written by `render` at all."""
    return bool(_CHECKSUM.search(text))


def is_edited(text: str) -> bool:
    """Tell whether a file that `render` has written was changed since."""
    found = _CHECKSUM.search(text)
    return bool(found and found.group(1) != _checksum(text[found.end() :].lstrip("\n")))


def same_options(one: str | None, other: str | None) -> bool:
    """Tell whether two files differ in their servers at most."""
    return _options(one) == _options(other)


def read_back(text: str, name: str) -> Service | None:
    """Turn what `render` has written into the service again; None where it is not all of that any more."""
    parts = parse.sections(text)
    frontend, backend = list(parts.get(("frontend", name), [])), list(parts.get(("backend", name), []))
    facts: dict[str, t.Any] = {}
    for line in [*frontend, *backend]:
        for pattern in _LINES:
            found = pattern.fullmatch(line)
            if found:
                facts.update({key: value for key, value in found.groupdict().items() if value is not None})
                (frontend if line in frontend else backend).remove(line)
    bind = tuple(line.partition(" ")[2] for line in frontend if line.startswith("bind "))
    try:
        service = Service(
            name=name,
            bind=bind,
            servers=tuple(parse.server_lines(text).get(name, [])),
            balance=facts["balance"],
            check_path=facts["path"],
            check_host=facts["host"],
            check_interval=int(facts["interval"]) / 1000,
            check_fall=int(facts["fall"]),
            check_rise=int(facts["rise"]),
            slowstart=int(facts.get("slowstart", 0)) / 1000,
            server_options=facts.get("options", ""),
            frontend_options=tuple(line for line in frontend if not line.startswith("bind ")),
            backend_options=tuple(line for line in backend if not line.startswith("server ")),
        )
    except KeyError:
        return None
    return service if same_options(render(service), text) else None


def server_line(server: Server) -> str:
    """Write the line of one server; everything else about it stands in ``default-server``."""
    weight = "" if server.weight == 1 else f" weight {server.weight}"
    # There is no word for drain in a file: after a restart nobody is there to be drained.
    return f"server {server.name} {server.endpoint}{weight}{' disabled' if server.state == DRAIN else ''}"


def server_options(service: Service, *, hurried: bool = False) -> str:
    """Write what holds for every server of the service.

    The first answer that differs asks for the next ones at once, and a server that is DOWN is not kept waiting:
    whoever repoints a service waits for these checks.

    :arg hurried: Look at a server that is UP as often as at one that is not.
    """
    interval = round(service.check_interval * 1000)
    quick = max(1, interval // 4)
    line = (
        f"check inter {quick if hurried else interval}ms fastinter {quick}ms downinter {quick}ms"
        f" fall {service.check_fall} rise {service.check_rise} observe layer4 on-error mark-down"
    )
    slowstart = f" slowstart {round(service.slowstart * 1000)}ms" if service.slowstart and not hurried else ""
    return f"{line}{slowstart} {service.server_options}".rstrip()


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
    yield f"default-server {server_options(service)}"
    for server in service.servers:
        yield server_line(server)


def _options(text: str | None) -> list[str]:
    lines = (text or "").splitlines()
    return [line for line in lines if not line.lstrip().startswith("server ") and not _CHECKSUM.match(line)]


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _section(kind: str, name: str, lines: t.Iterable[str]) -> str:
    return "".join([f"{kind} {name}\n", *(f"    {line}\n" for line in lines)])
