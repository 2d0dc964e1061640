# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done, worked out in memory: wanted state against file and running HAProxy."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    READY,
    RuntimeServers,
    Server,
    Service,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import render

NOTHING = "none"
RUNTIME = "runtime"
RELOAD = "reload"

UNCHANGED = "unchanged"
MOVED = "moved"
ADDED = "added"
REMOVED = "removed"


@dataclasses.dataclass(frozen=True)
class Pending:
    """What a run has begun; it lies beside the configuration until the run is through.

    :arg servers: Those whose runtime state is in this run's hands.
    :arg reload: The file may be newer than what HAProxy has read.
    """

    servers: tuple[str, ...] = ()
    reload: bool = False

    def dump(self) -> str:
        """Write it as text."""
        return json.dumps({"servers": list(self.servers), "reload": self.reload}) + "\n"

    @classmethod
    def load(cls, text: str) -> Pending:
        """Read `dump`'s text; one that was cut off asks for a reload, which is always right."""
        try:
            data = json.loads(text)
            return cls(servers=tuple(data["servers"]), reload=bool(data["reload"]))
        except (ValueError, KeyError, TypeError):
            return cls(reload=True)


@dataclasses.dataclass(frozen=True)
class Change:
    """One server: what it is to be (None: to go away) and where file and runtime have it now."""

    name: str
    kind: str
    server: Server | None
    in_file: str | None
    in_runtime: str | None

    def __str__(self) -> str:
        """Describe it in one line of a diff."""
        wanted = self.server.endpoint if self.server else ""
        if self.kind == MOVED:
            return f"{self.name}: {self._before(wanted)} -> {wanted}"
        if self.kind == REMOVED:
            return f"{self.name}: {self.in_file or self.in_runtime} -> removed"
        return f"{self.name}: {'new -> ' if self.kind == ADDED else ''}{wanted}"

    def _before(self, wanted: str) -> str:
        if self.in_file != wanted:
            return str(self.in_file)
        return f"{self.in_runtime} (at runtime only)"


@dataclasses.dataclass(frozen=True)
class Plan:
    """The whole of one run.

    :arg way: none; runtime (addresses alone: no reload); reload.
    :arg recover: Servers that a run which was cut off left out of service.
    """

    service: Service
    text: str
    before_text: str | None
    way: str
    changes: tuple[Change, ...]
    recover: tuple[str, ...]

    @property
    def gated(self) -> list[Server]:
        """The servers that must prove themselves first."""
        return [change.server for change in self.changes if change.server and change.kind in (MOVED, ADDED)]

    @property
    def moves(self) -> list[Server]:
        """The servers whose address the running HAProxy does not have yet."""
        return [
            change.server
            for change in self.changes
            if change.server and change.in_runtime not in (None, change.server.endpoint)
        ]

    @property
    def lines(self) -> list[str]:
        """One line for each server that changes."""
        lines = [str(change) for change in self.changes if change.kind != UNCHANGED]
        lines += [f"{name}: left out of service by a run that was cut off -> {READY}" for name in self.recover]
        if self.way == RELOAD and not lines and self.text == self.before_text:
            lines.append(f"{self.service.name}: in the file but not in the running HAProxy -> reload")
        return lines


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
    :arg pending: What a run that was cut off left behind.
    """
    text = render(service)
    in_file = {server.name: server for server in parse.server_lines(before_text or "").get(service.name, [])}
    in_runtime = runtime or {}
    wanted = {server.name: server for server in service.servers}
    changes = tuple(
        _change(name, server=wanted.get(name), in_file=in_file, in_runtime=in_runtime)
        for name in sorted({*wanted, *in_file, *in_runtime})
    )
    recover = tuple(
        name
        for name in (pending.servers if pending else ())
        if name in wanted and name in in_runtime and in_runtime[name].admin != READY
    )
    return Plan(
        service=service,
        text=text,
        before_text=before_text,
        way=_way(
            service,
            before_text=before_text,
            in_file=in_file,
            in_runtime=in_runtime,
            pending=pending,
            touched=bool(recover) or any(change.kind != UNCHANGED for change in changes),
        ),
        changes=changes,
        recover=recover,
    )


def _change(
    name: str,
    *,
    server: Server | None,
    in_file: t.Mapping[str, Server],
    in_runtime: RuntimeServers,
) -> Change:
    before = in_file[name].endpoint if name in in_file else None
    running = in_runtime[name].endpoint if name in in_runtime else None
    if server is None:
        kind = REMOVED
    elif before is None:
        kind = ADDED
    elif before != server.endpoint or running not in (None, server.endpoint):
        kind = MOVED
    else:
        kind = UNCHANGED
    return Change(name=name, kind=kind, server=server, in_file=before, in_runtime=running)


def _way(
    service: Service,
    *,
    before_text: str | None,
    in_file: t.Mapping[str, Server],
    in_runtime: RuntimeServers,
    pending: Pending | None,
    touched: bool,
) -> str:
    names = {server.name for server in service.servers}
    if set(in_runtime) != names or set(in_file) != names or (pending and pending.reload):
        return RELOAD
    # The same file but for the addresses?
    at_old_addresses = dataclasses.replace(service, servers=tuple(in_file[name] for name in sorted(names)))
    if render(at_old_addresses) != before_text:
        return RELOAD
    return RUNTIME if touched else NOTHING
