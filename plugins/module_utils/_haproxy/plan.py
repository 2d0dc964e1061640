# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done, worked out in memory: wanted state against file and running HAProxy."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    DRAIN,
    READY,
    RuntimeServers,
    Server,
    Service,
    is_guest,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.pending import Pending
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import render

NOTHING = "none"
RUNTIME = "runtime"
RELOAD = "reload"

UNCHANGED = "unchanged"
ALTERED = "altered"
MOVED = "moved"
ADDED = "added"
REMOVED = "removed"

# Algorithms to which the running HAProxy can add a server.
_DYNAMIC = re.compile(r"(roundrobin|leastconn|first|random(\(\d+\))?)$")


@dataclasses.dataclass(frozen=True)
class Change:
    """One server: what it is to be (None: to go away) and where file and runtime have it now.

    :arg notes: What changes beside its address.
    """

    name: str
    kind: str
    server: Server | None
    in_file: str | None
    in_runtime: str | None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Describe it in one line of a diff."""
        wanted = self.server.endpoint if self.server else ""
        if self.kind == REMOVED:
            return f"{self.name}: {self.in_file or self.in_runtime} -> removed"
        place = {MOVED: f"{self._before(wanted)} -> {wanted}", ADDED: f"new -> {wanted}"}.get(self.kind)
        return f"{self.name}: {', '.join([*([place] if place else []), *self.notes])}"

    def _before(self, wanted: str) -> str:
        if self.in_file != wanted:
            return str(self.in_file)
        return f"{self.in_runtime} (at runtime only)"


@dataclasses.dataclass(frozen=True)
class Plan:
    """The whole of one run.

    :arg way: none; runtime (no reload); reload.
    :arg base: Where the way is reload: the servers that the fresh process shall begin with, all of them known to the
        former one. The others join at runtime. None where the file is read as it is to be in the end.
    :arg recover: Servers that a run which was cut off left out of service.
    :arg runtime: The backend's servers now.
    """

    service: Service
    text: str
    before_text: str | None
    way: str
    base: tuple[Server, ...] | None
    changes: tuple[Change, ...]
    recover: tuple[str, ...]
    runtime: RuntimeServers

    @property
    def gated(self) -> list[Server]:
        """The servers that must prove themselves before they get a request."""
        return [
            change.server
            for change in self.changes
            if change.server
            and change.server.state != DRAIN
            and (change.kind in (MOVED, ADDED) or self._comes_back(change.server))
        ]

    @property
    def moved(self) -> list[Server]:
        """The servers whose address the running HAProxy does not have yet."""
        return [
            change.server
            for change in self.changes
            if change.server and change.in_runtime not in (None, change.server.endpoint)
        ]

    @property
    def guests(self) -> list[Server]:
        """The new addresses of those that are in service, to be tried beside the old ones."""
        return [server.guest for server in self.moved if server.state != DRAIN]

    @property
    def added(self) -> list[Server]:
        """The servers that the running HAProxy does not know yet."""
        return [change.server for change in self.changes if change.server and change.in_runtime is None]

    @property
    def removed(self) -> list[str]:
        """The servers that the running HAProxy is to forget."""
        return [change.name for change in self.changes if not change.server and change.in_runtime is not None]

    @property
    def restored(self) -> list[Server]:
        """The servers that stay where they are and come back into service."""
        moved = {server.name for server in self.moved}
        return [server for server in self.service.servers if server.name not in moved and self._comes_back(server)]

    @property
    def stale(self) -> list[str]:
        """New addresses that are tried no longer: their server has moved, or is to go elsewhere."""
        wanted = {guest.name for guest in self.guests}
        return [name for name in self.runtime if is_guest(name) and name not in wanted]

    @property
    def lines(self) -> list[str]:
        """One line for each server that changes."""
        lines = [str(change) for change in self.changes if change.kind != UNCHANGED]
        lines += [f"{name}: left out of service by a run that was cut off -> {READY}" for name in self.recover]
        lines += [f"{name}: left by a run that was cut off -> removed" for name in self.stale]
        if self.way == RELOAD and not lines and self.text == self.before_text:
            lines.append(f"{self.service.name}: in the file but not in the running HAProxy -> reload")
        return lines

    def refuse_outage(self) -> None:
        """Do not take the last healthy server away.

        :raises WebstackError: when a server serves now, and none would afterwards.
        """
        serving = [name for name, server in self.runtime.items() if server.serving]
        stay = {
            change.name
            for change in self.changes
            if change.server and change.server.state != DRAIN and change.kind in (UNCHANGED, ALTERED)
        }
        if not serving or self.gated or stay.intersection(serving) or self.recover:
            return
        what, them = (
            ("is the last healthy server", "it") if len(serving) == 1 else ("are the last healthy servers", "them")
        )
        raise WebstackError(
            f"{' and '.join(serving)} {what} of {self.service.name} on this balancer: without {them}, nobody would be"
            " served. Nothing was changed."
            " Next: bring another server back first; to see them all: ansible balancers -b -m"
            " phoenix.webstack.haproxy_backend_info"
        )

    def _comes_back(self, server: Server) -> bool:
        running = self.runtime.get(server.name)
        out = running is not None and running.admin != READY
        return out and (server.state == READY or server.name in self.recover)


def make_plan(
    *,
    service: Service,
    before_text: str | None,
    runtime: RuntimeServers | None,
    pending: Pending | None,
) -> Plan:
    """Compare what is wanted with the file and with the running HAProxy.

    :arg before_text: The service's file now, None when there is none.
    :arg runtime: The backend's servers in the running HAProxy, None when it runs not or knows no such backend.
    :arg pending: What a run has begun and not ended.
    """
    text = render(service)
    in_file = {server.name: server for server in parse.server_lines(before_text or "").get(service.name, [])}
    in_runtime = runtime or {}
    wanted = {server.name: server for server in service.servers}
    names = {*wanted, *in_file, *(name for name in in_runtime if not is_guest(name))}
    changes = tuple(
        _change(name, server=wanted.get(name), in_file=in_file.get(name), in_runtime=in_runtime)
        for name in sorted(names)
    )
    recover = tuple(
        name
        for name in (pending.servers if pending else ())
        if name in wanted and wanted[name].state is None and name in in_runtime and in_runtime[name].admin != READY
    )
    reload = bool(pending and pending.reload) or runtime is None or not _same_options(service, before_text, in_file)
    touched = bool(recover) or any(change.kind != UNCHANGED for change in changes) or any(map(is_guest, in_runtime))
    dynamic = bool(_DYNAMIC.match(service.balance))
    way = RELOAD if reload or (touched and not dynamic) else RUNTIME if touched else NOTHING
    known = tuple(
        dataclasses.replace(server, address=in_runtime[name].address, port=in_runtime[name].port)
        for name, server in sorted(in_file.items())
        if name in in_runtime
    )
    return Plan(
        service=service,
        text=text,
        before_text=before_text,
        way=way,
        base=known if dynamic and known else None,
        changes=changes,
        recover=recover,
        runtime=in_runtime,
    )


def _change(
    name: str,
    *,
    server: Server | None,
    in_file: Server | None,
    in_runtime: RuntimeServers,
) -> Change:
    before = in_file.endpoint if in_file else None
    running = in_runtime[name].endpoint if name in in_runtime else None
    notes = _notes(server, in_file=in_file, in_runtime=in_runtime) if server else ()
    if server is None:
        kind = REMOVED
    elif before is None:
        kind = ADDED
    elif before != server.endpoint or running not in (None, server.endpoint):
        kind = MOVED
    elif in_runtime and running is None:
        # In the file only: new to whoever sends requests.
        kind = ADDED
    else:
        kind = ALTERED if notes else UNCHANGED
    return Change(name=name, kind=kind, server=server, in_file=before, in_runtime=running, notes=notes)


def _notes(server: Server, *, in_file: Server | None, in_runtime: RuntimeServers) -> tuple[str, ...]:
    running = in_runtime.get(server.name)
    notes = []
    weights = [*([in_file.weight] if in_file else []), *([running.weight] if running else [])]
    other = [weight for weight in weights if weight != server.weight]
    if other:
        notes.append(f"weight {other[0]} -> {server.weight}")
    drained = bool(in_file and in_file.state == DRAIN)
    serves = running is None or running.admin == READY
    if server.state == DRAIN and (serves or not drained):
        notes.append(f"-> {DRAIN}")
    if server.state == READY and (drained or not serves):
        notes.append(f"{DRAIN if running is None else running.admin} -> {READY}")
    return tuple(notes)


def _same_options(service: Service, before_text: str | None, in_file: t.Mapping[str, Server]) -> bool:
    """Tell whether the file differs from the wanted one in its servers at most."""
    return before_text == render(dataclasses.replace(service, servers=tuple(in_file[name] for name in sorted(in_file))))
