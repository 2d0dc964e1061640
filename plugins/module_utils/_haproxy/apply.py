# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a plan out on file and running HAProxy together, or putting both back."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    DRAIN,
    READY,
    RuntimeServer,
    RuntimeServers,
    Server,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.plan import (
    NOTHING,
    RELOAD,
    UNCHANGED,
    Pending,
    Plan,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import Runtime
    from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.store import Store

_POLL = 0.05


@dataclasses.dataclass(frozen=True)
class Clock:
    """Time, injected so that tests need not wait."""

    now: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep


class Transaction:
    """One plan, carried out from its first step to the comparison at its end.

    :arg reload: Makes HAProxy read its files again (and start, should it not run).
    :arg timeout: Seconds a server or a reload may take until it is seen to be done.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        runtime: Runtime,
        store: Store,
        reload: t.Callable[[], None],
        timeout: float,
        clock: Clock | None = None,
    ) -> None:
        self._plan = plan
        self._name = plan.service.name
        self._runtime = runtime
        self._store = store
        self._reload = reload
        self._timeout = timeout
        self._clock = clock or Clock()
        self._before = runtime.servers(self._name) or {}

    def run(self) -> None:
        """Carry the plan out.

        :raises WebstackError: saying what failed and that the former state was put back, or what could not be.
        """
        if self._plan.way == NOTHING:
            self._store.end()
            return
        reload = self._plan.way == RELOAD
        names = tuple(server.name for server in self._plan.moves) + self._plan.recover
        self._store.begin(Pending(servers=names, reload=reload))
        try:
            if reload:
                self._by_reload()
            else:
                self._at_runtime()
            self._compare()
        except WebstackError as error:
            raise self._put_back(error) from error
        self._store.end()

    # -- addresses alone: no reload ---------------------------------------------------------

    def _at_runtime(self) -> None:
        for server in self._plan.moves:
            self._swap(server)
        moved = {server.name for server in self._plan.moves}
        for name in self._plan.recover:
            if name not in moved:
                self._runtime.set_state(self._name, name, READY)
        self._store.write(self._plan.text)

    def _swap(self, server: Server) -> None:
        """Give a server its new address without a request ever reaching one that is not UP there.

        Health is set to down in between, so that "UP" can only come from checks of the new
        address. Where no other server could take the traffic meanwhile, draining would be the
        outage itself: the address is changed in one step, and watched.
        """
        others = (other for other in self._servers().values() if other.name != server.name)
        if any(other.serving for other in others):
            self._runtime.set_state(self._name, server.name, DRAIN)
            self._runtime.set_address(self._name, server)
            self._runtime.set_health(self._name, server.name, "down")
            self._wait_up([server])
            self._runtime.set_state(self._name, server.name, READY)
        else:
            self._runtime.set_address(self._name, server)
            self._runtime.set_state(self._name, server.name, READY)
            service = self._plan.service
            self._clock.sleep(service.check_interval * (max(service.check_fall, service.check_rise) + 1))
        self._wait_up([server])

    # -- a new set of servers or other options: a reload ------------------------------------

    def _by_reload(self) -> None:
        self._store.write(self._plan.text)
        self._reload_and_wait()
        kept = {change.name for change in self._plan.changes if change.kind == UNCHANGED}
        self._restore_states(kept - set(self._plan.recover))
        self._wait_up(self._plan.gated)

    def _reload_and_wait(self) -> None:
        former = self._runtime.pid()
        self._reload()
        self._wait(
            lambda: self._runtime.pid() not in (None, former),
            lambda: "HAProxy went on with its former configuration. Next, on the balancer: journalctl -u haproxy -n 50",
        )

    def _restore_states(self, names: t.Collection[str]) -> None:
        """Tell the fresh process what the former knew.

        It takes every server for UP until the first checks, and has forgotten who was drained.
        """
        for name, server in self._before.items():
            if name not in names:
                continue
            if server.admin != READY:
                self._runtime.set_state(self._name, name, server.admin)
            if not server.healthy:
                self._runtime.set_health(self._name, name, "down")

    # -- looking ----------------------------------------------------------------------------

    def _servers(self) -> RuntimeServers:
        servers = self._runtime.servers(self._name)
        if servers is None:
            raise WebstackError(
                f"the running HAProxy has no backend {self._name}: it does not read {self._store.path}."
                f" Next, on the balancer: see that EXTRAOPTS in /etc/default/haproxy holds"
                f" `-f {self._store.directory}`, then systemctl restart haproxy"
            )
        return servers

    def _wait_up(self, servers: t.Sequence[Server]) -> None:
        """Wait until every one of them is UP by health checks at its wanted address."""

        def late() -> list[RuntimeServer]:
            now = self._servers()
            return [
                now[server.name] for server in servers if server.name in now and not _is_up(now[server.name], server)
            ]

        self._wait(
            lambda: not late(),
            lambda: (
                "; ".join(
                    f"server {each.name} ({each.endpoint}) is {each.status or 'unknown'} after"
                    f" {self._timeout:g} s (last check: {each.check or 'none'})"
                    for each in late()
                )
                + "."
            ),
        )

    def _wait(self, done: t.Callable[[], bool], why: t.Callable[[], str]) -> None:
        deadline = self._clock.now() + self._timeout
        while not done():
            if self._clock.now() > deadline:
                raise WebstackError(why())
            self._clock.sleep(_POLL)

    def _compare(self) -> None:
        wanted = {server.name: server.endpoint for server in self._plan.service.servers}
        in_file = {
            server.name: server.endpoint for server in parse.server_lines(self._store.read() or "").get(self._name, [])
        }
        running = {name: server.endpoint for name, server in self._servers().items()}
        if not wanted == in_file == running:
            raise WebstackError(f"file and running HAProxy differ: wanted {wanted}, file {in_file}, running {running}.")

    # -- putting back -----------------------------------------------------------------------

    def _put_back(self, error: WebstackError) -> WebstackError:
        """Restore file and runtime, and say how that went."""
        try:
            if self._store.read() != self._plan.before_text:
                self._store.write(self._plan.before_text)
            if self._plan.way == RELOAD:
                self._reload_and_wait()
                self._restore_states(self._before)
            else:
                self._put_addresses_back()
        except WebstackError as second:
            return WebstackError(
                f"The change of {self._name} failed: {error.message}"
                f" Putting the former state back failed as well: {second.message}"
                " Next: run the playbook again; it goes on from here.",
                restored=False,
            )
        self._store.end()
        return WebstackError(
            f"The change of {self._name} failed: {error.message}"
            " The former addresses and the former file were put back."
            " Next: correct the cause and run the playbook again.",
            restored=True,
        )

    def _put_addresses_back(self) -> None:
        for server in reversed(self._plan.moves):
            former = self._before[server.name]
            self._runtime.set_address(
                self._name,
                Server(name=former.name, address=former.address, port=former.port),
            )
            if former.healthy:
                self._runtime.set_health(self._name, former.name, "up")
            self._runtime.set_state(
                self._name,
                former.name,
                READY if former.name in self._plan.recover else former.admin,
            )


def _is_up(running: RuntimeServer, wanted: Server) -> bool:
    return running.endpoint == wanted.endpoint and running.healthy and running.checked
