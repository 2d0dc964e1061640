# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service on one balancer: the steps that change a server, and what there is to wait for."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    DRAIN,
    MAINT,
    RuntimeServer,
    RuntimeServers,
    Server,
    host_of,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import Runtime
    from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.store import Store

_POLL = 0.05
_DRAIN_POLL = 0.2
# A connection that HAProxy has just given up keeps its server from being deleted for a moment.
_DELETE_TRIES = 40


@dataclasses.dataclass(frozen=True)
class Clock:
    """Time, injected so that tests need not wait."""

    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long things may take, in seconds.

    :arg timeout: Until a server or a reload is seen to be done.
    :arg hold: For how long a new server must stay UP before it gets requests.
    :arg drain: Until a server that leaves must have finished its requests.
    :arg slice: After which a wait for a drain is handed back to the caller, who tells the user and calls again.
    """

    timeout: float
    hold: float = 0.0
    drain: float = 30.0
    slice: float = float("inf")


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a change that goes on waits for: the requests still running, by server, and the seconds they still have."""

    sessions: dict[str, int]
    seconds: float


class Balancer:
    """One service on one balancer: its file and its servers in the running HAProxy.

    :arg reload: Makes HAProxy read its files again (and start, should it not run).
    """

    def __init__(
        self,
        *,
        name: str,
        runtime: Runtime,
        store: Store,
        reload: t.Callable[[], None],
        pace: Pace,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.runtime = runtime
        self.store = store
        self.pace = pace
        self.clock = clock or Clock()
        self._reload = reload
        self._pid = runtime.pid()
        self._slice_ends = self.clock.now() + pace.slice

    def servers(self) -> RuntimeServers:
        """Give the servers in the running HAProxy.

        :raises WebstackError: when it has no such backend.
        """
        servers = self.runtime.servers(self.name)
        if servers is None:
            raise WebstackError(
                f"the running HAProxy has no backend {self.name}: it does not read {self.store.path}."
                f" Next, on the balancer: see that EXTRAOPTS in /etc/default/haproxy holds"
                f" `-f {self.store.directory}`, then systemctl restart haproxy"
            )
        return servers

    def server(self, name: str) -> RuntimeServer:
        """Give one server.

        :raises WebstackError: when there is none of this name (any more).
        """
        servers = self.servers()
        if name not in servers:
            raise WebstackError(f"server {name} has gone from the running HAProxy.")
        return servers[name]

    def was_reloaded(self) -> bool:
        """Tell, once, whether somebody else has reloaded HAProxy, which then has forgotten what it was told."""
        former, self._pid = self._pid, self.runtime.pid()
        return self._pid != former

    # -- one server -------------------------------------------------------------------------

    def enter(self, server: Server, *, options: str) -> None:
        """Add a server without giving it requests; its checks begin, from DOWN."""
        self.runtime.add(self.name, server, options=options)
        self.examine(server.name)

    def examine(self, name: str) -> None:
        """Take a server out of service and let only its next health checks say that it is UP."""
        self.runtime.set_state(self.name, name, DRAIN)
        self.runtime.enable_checks(self.name, name)
        self.runtime.set_health(self.name, name, "down")

    def set_state(self, name: str, state: str) -> None:
        """Make a server ready or drain, if it is not."""
        admin = self.server(name).admin
        if admin != state and not (state == DRAIN and admin == MAINT):
            self.runtime.set_state(self.name, name, state)

    def move(self, server: Server) -> None:
        """Give a server that gets no requests another address, and let its health checks begin anew."""
        self.examine(server.name)
        self.runtime.set_address(self.name, server)
        self.runtime.set_health(self.name, server.name, "down")

    def delete(self, name: str) -> None:
        """Delete a server that is empty."""
        self.runtime.set_state(self.name, name, MAINT)
        for left in reversed(range(_DELETE_TRIES)):
            try:
                self.runtime.delete(self.name, name)
                return
            except WebstackError as error:
                if "connections attached" not in error.message or not left:
                    raise
            self.clock.sleep(_POLL)

    def dismiss(self, names: t.Collection[str]) -> None:
        """Delete servers that had the time to finish; those still busy leave with the process that serves them."""
        now = self.servers()
        gone = [name for name in names if name in now]
        if any(now[name].sessions for name in gone):
            self.reload(states=now, keep=[name for name in now if name not in gone])
            return
        for name in gone:
            self.delete(name)

    # -- files ------------------------------------------------------------------------------

    def write(self, text: str | None) -> None:
        """Put the file in place, if it is not."""
        if self.store.read() != text:
            self.store.write(text)

    def reload(self, *, states: RuntimeServers, keep: t.Container[str]) -> None:
        """Let a fresh process read the files, and tell it what the former one knew of the servers in ``keep``.

        By itself it takes every server for UP until the first checks, and has forgotten who was drained.
        """
        former = self.runtime.pid()
        self._reload()
        self.wait(
            lambda: self.runtime.pid() not in (None, former),
            lambda: "HAProxy went on with its former configuration. Next, on the balancer: journalctl -u haproxy -n 50",
        )
        self._pid = self.runtime.pid()
        now = self.runtime.servers(self.name) or {}
        for name, server in states.items():
            if name not in now or name not in keep:
                continue
            if server.admin != now[name].admin:
                self.runtime.set_state(self.name, name, server.admin)
            if not server.healthy and server.endpoint == now[name].endpoint:
                self.runtime.set_health(self.name, name, "down")

    # -- waiting ----------------------------------------------------------------------------

    def late(self, servers: t.Sequence[Server]) -> list[RuntimeServer]:
        """Give those of the servers that are not UP by health checks at their address."""
        now = self.servers()
        lost = [server.name for server in servers if server.name not in now]
        if lost:
            raise WebstackError(f"server {lost[0]} has gone from the running HAProxy.")
        return [now[server.name] for server in servers if not is_up(now[server.name], server)]

    def require_up(self, servers: t.Sequence[Server]) -> None:
        """See that servers which were UP still are."""
        late = self.late(servers)
        if late:
            raise WebstackError(f"{_sentences(late, 'although it was UP a moment ago')}.")

    def wait_up(self, servers: t.Sequence[Server], *, hold: float = 0.0) -> None:
        """Wait until every one of them is UP by health checks at its address, and see that it stays so.

        :arg hold: For how many seconds.
        """
        if not servers:
            return
        self.wait(
            lambda: not self.late(servers),
            lambda: f"{_sentences(self.late(servers), f'after {self.pace.timeout:g} s')}.",
        )
        until = self.clock.now() + hold
        while self.clock.now() < until:
            self.clock.sleep(_POLL)
            self.require_up(servers)

    def wait(self, done: t.Callable[[], bool], why: t.Callable[[], str]) -> None:
        """Wait for something that happens by itself.

        :raises WebstackError: saying ``why`` when it has not after the timeout.
        """
        deadline = self.clock.now() + self.pace.timeout
        while not done():
            if self.clock.now() > deadline:
                raise WebstackError(why())
            self.clock.sleep(_POLL)

    def drain(self, names: t.Collection[str], *, until: float, watch: t.Callable[[], None]) -> Progress | None:
        """Wait until these servers have finished their requests, or their time or the slice is over.

        :arg watch: Called again and again meanwhile; raises when there is no use in waiting.
        :returns: What is waited for when the slice is over.
        """
        while True:
            busy = {
                name: server.sessions for name, server in self.servers().items() if name in names and server.sessions
            }
            now = self.clock.now()
            if not busy or now >= until:
                return None
            if now >= self._slice_ends:
                return Progress(sessions=busy, seconds=until - now)
            watch()
            self.clock.sleep(_DRAIN_POLL)


def is_up(running: RuntimeServer, wanted: Server) -> bool:
    return running.endpoint == wanted.endpoint and running.healthy and running.checked


def _sentences(servers: t.Sequence[RuntimeServer], when: str) -> str:
    return "; ".join(
        f"server {host_of(each.name)} ({each.endpoint}) is {each.status or 'unknown'} {when}"
        f" (last check: {each.check or 'none'})"
        for each in servers
    )
