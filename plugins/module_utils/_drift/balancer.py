# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancer: a published service's file, the running HAProxy, and what neither has from us."""

from __future__ import annotations

import contextlib
import socket
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import DRIFT, EXTRA, Difference, Item
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse, validate
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import AdminSocket
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Server, Service
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.observe import observe
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.plan import (
    NOTHING,
    REMOVED,
    UNCHANGED,
    make_plan,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.store import Store

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._drift.around import Around

LISTS = ("bind", "frontend_options", "backend_options")
NOT_THE_SERVICE = ("servers", "config_file", "config_directory", "socket")


def service_of(params: t.Mapping[str, t.Any]) -> Service:
    """Turn the options into the service that is wanted."""
    values = {key: value for key, value in params.items() if key not in NOT_THE_SERVICE}
    values.update({key: tuple(values[key]) for key in LISTS})
    return Service(servers=tuple(Server(**server) for server in params["servers"]), **values)


def observe_balancer(params: t.Mapping[str, t.Any], _around: Around) -> t.Iterator[Item]:
    """Compare the wanted servers with the file and the running HAProxy."""
    service = service_of(params)
    validate.check_service(service)
    runtime = AdminSocket(path=params["socket"])
    store = Store(directory=params["config_directory"], name=service.name)
    text = store.read()
    known = {server.name: server for server in parse.server_lines(text or "").get(service.name, [])}
    plan = make_plan(
        service=validate.resolve(service, known=known, lookup=_look_up),
        before_text=text,
        runtime=runtime.servers(service.name),
        pending=store.pending(),
    )
    found = [
        # A server that is in no file of ours was added by somebody else.
        Difference(
            f"Not as wanted: {change}",
            EXTRA if change.kind == REMOVED and not change.in_file else DRIFT,
            key=f"balancer:{service.name}/{change.name}",
        )
        for change in plan.changes
        if change.kind != UNCHANGED
    ]
    # Of a HAProxy that does not run, its unit tells.
    if plan.way != NOTHING and not found and (text != plan.text or runtime.pid() is not None):
        what = "; ".join(plan.lines) or f"{store.path} differs"
        path = str(store.path) if text != plan.text else ""
        found.append(Difference(what, before=text or "", after=plan.text, path=path))
    # Who is out of service for a while is no matter of what was applied.
    servers = [{key: value for key, value in server.items() if key != "state"} for server in params["servers"]]
    yield Item(key=f"balancer:{service.name}", wanted={**params, "servers": servers}, differences=tuple(found))
    yield _running(runtime, params, service=service, moved={each.key for each in found})


def _running(
    runtime: AdminSocket, params: t.Mapping[str, t.Any], *, service: Service, moved: t.Collection[str]
) -> Item:
    """Tell what the running HAProxy does that no file says, or does not yet do."""
    seen = observe(runtime=runtime, config_file=params["config_file"], config_directory=params["config_directory"])
    found = []
    if seen["running"] and seen["stale"]:
        found.append(Difference(f"HAProxy has not read {params['config_file']} as it is now", key="balancer:stale"))
    if seen["running"] and not seen["loads_directory"]:
        found.append(Difference(f"HAProxy does not read {params['config_directory']}", key="balancer:directory"))
    wanted = {server.name for server in service.servers}
    for backend in seen["backends"]:
        name = backend["name"]
        ours = name == service.name
        if not ours and (backend["file"] is None or backend["file"] == params["config_file"]):
            found.append(Difference(f"Backend {name} is not ours", EXTRA, key=f"balancer:{name}"))
        for server in backend["servers"] if ours else ():
            key = f"balancer:{name}/{server['name']}"
            if f"{server['name']}: set to {server['admin']} by hand" in backend["drift"] and server["name"] in wanted:
                what = f"Server {server['name']} of {name} is set to {server['admin']} by hand"
                found.append(Difference(what, key=f"{key}:admin"))
            elif server["name"] not in wanted and key not in moved:
                found.append(Difference(f"Server {server['name']} of {name} is not ours", EXTRA, key=key))
    return Item(key="balancer:running", wanted="as its files say", differences=tuple(found))


def _look_up(name: str) -> list[str]:
    with contextlib.suppress(OSError):
        return [str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    return []
