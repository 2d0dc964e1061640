# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at what the caller wants before anything is asked or touched: all problems at once."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Server, Service

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?")
_MAX_PORT = 65535
_MAX_WEIGHT = 256

# Gives the addresses of a host name, none when it has none.
Lookup = t.Callable[[str], t.Sequence[str]]


def check_service(service: Service) -> None:
    """Refuse a service that cannot be written down, naming every reason.

    :raises WebstackError: with the reasons also as ``problems``.
    """
    problems = [*_text_problems(service), *_server_problems(service.servers)]
    if problems:
        raise _refusal(service.name, problems)


def resolve(service: Service, *, known: t.Mapping[str, Server], lookup: Lookup) -> Service:
    """Fill in what the caller leaves open: addresses of host names, and who is out of service on purpose.

    With addresses, file and runtime can be compared and a boot needs no name service.

    :arg known: The servers in the file now, by name. An address that is still valid for its name is kept, and so is a
        drain that nobody has taken back.
    :raises WebstackError: naming every host name without an address.
    """
    servers: list[Server] = []
    problems: list[str] = []
    for server in service.servers:
        former = known.get(server.name)
        address = _address(server, known=former.address if former else "", lookup=lookup)
        if address:
            state = server.state or (former.state if former else None)
            servers.append(dataclasses.replace(server, address=address, state=state))
        else:
            problems.append(f"server {server.name}: the host name {server.address} has no address here")
    if problems:
        raise _refusal(service.name, problems)
    # Two names may have led to one place.
    resolved = dataclasses.replace(service, servers=tuple(sorted(servers, key=lambda server: server.name)))
    check_service(resolved)
    return resolved


def _address(server: Server, *, known: str, lookup: Lookup) -> str:
    literal = _literal(server.address)
    if literal:
        return literal
    found = sorted(lookup(server.address), key=lambda address: (":" in address, address))
    if known in found:
        return known
    return found[0] if found else ""


def _literal(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return ""


def _text_problems(service: Service) -> t.Iterator[str]:
    if not _NAME.fullmatch(service.name):
        yield f"the name {service.name!r} may hold letters, digits, dots, hyphens and underscores only"
    if not service.bind:
        yield "there is no address to bind"
    if not service.check_path.startswith("/"):
        yield f"the check path {service.check_path!r} does not begin with a slash"
    for text in (service.check_path, service.check_host):
        if not text or re.search(r"\s", text):
            yield f"{text!r} is empty or holds white space"
    if re.search(r"(^|\s)weight(\s|$)", service.server_options):
        yield "the server options hold a weight; give it to the servers themselves"
    lines = (
        *service.bind,
        *service.frontend_options,
        *service.backend_options,
        service.balance,
        service.server_options,
        service.check_path,
        service.check_host,
    )
    for line in lines:
        if any(not letter.isprintable() for letter in line):
            yield f"{line!r} holds a line break or another control character"


def _server_problems(servers: t.Sequence[Server]) -> t.Iterator[str]:
    if not servers:
        yield "the list of servers is empty, which would take the service away from its users"
    for server in servers:
        if not _NAME.fullmatch(server.name):
            yield f"server {server.name!r}: a name may hold letters, digits, dots, hyphens and underscores only"
        if not _literal(server.address) and not _is_host_name(server.address):
            yield f"server {server.name}: {server.address!r} is neither an IP address nor a host name"
        if not 1 <= server.port <= _MAX_PORT:
            yield f"server {server.name}: port {server.port} is not between 1 and {_MAX_PORT}"
        if not 0 <= server.weight <= _MAX_WEIGHT:
            yield f"server {server.name}: weight {server.weight} is not between 0 and {_MAX_WEIGHT}"
    for name in _repeated(server.name for server in servers):
        yield f"server {name} is listed more than once"
    for place in _repeated(server.endpoint for server in servers):
        names = " and ".join(server.name for server in servers if server.endpoint == place)
        yield f"{place} is listed for {names}"


def _is_host_name(text: str) -> bool:
    """Tell a host name from a number with a mistake in it, such as 10.0.0.999."""
    return bool(_HOST_NAME.fullmatch(text)) and not re.fullmatch(r"[0-9.]+", text)


def _repeated(words: t.Iterable[str]) -> list[str]:
    seen: set[str] = set()
    again: dict[str, None] = {}
    for word in words:
        if word in seen:
            again[word] = None
        seen.add(word)
    return list(again)


def _refusal(name: str, problems: t.Sequence[str]) -> WebstackError:
    listed = "; ".join(problems)
    return WebstackError(
        f"The service {name} cannot be published: {listed}. Nothing was changed."
        " Next: correct the inventory and run the playbook again.",
        problems=list(problems),
    )
