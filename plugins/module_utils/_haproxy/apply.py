# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a plan out on file and running HAProxy together, or putting both back.

A server gets its first request only once HAProxy's own health checks have found it UP at that very address. One that
moves is tried at its new address as a server of its own (its *guest*), while the old one serves on. The guest takes
over, the old one drains, takes the new address itself, and the guest drains in turn.

Every step looks at the running HAProxy and does what is missing, so that a change can be carried out in slices, and
goes on from wherever an earlier run was cut off.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.balancer import Balancer, Progress
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import NotDynamicError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    DRAIN,
    MAINT,
    READY,
    RuntimeServers,
    Server,
    is_guest,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.pending import COMMITTING, PREPARED, Pending
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.plan import RELOAD, UNCHANGED, Plan
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import render, server_options

_ATTEMPTS = 3

Result = t.TypeVar("Result")


class Transaction:
    """One plan, from its first step to the comparison at its end; see `put_back` for when a step fails."""

    def __init__(self, *, plan: Plan, balancer: Balancer) -> None:
        self._plan = plan
        self._at = balancer
        self._pending = balancer.store.pending() or Pending()
        self._options = server_options(plan.service)
        self._hurried = server_options(plan.service, hurried=True)

    def prepare(self) -> None:
        """Let every new address become UP, and stay so, before anything changes for a user."""
        self._begin(PREPARED)
        if self._plan.way != RELOAD or self._plan.base is not None:
            # Where a backend takes its servers from the file alone, `commit` finds that out again.
            with contextlib.suppress(NotDynamicError):
                self._admit()
                self._at.wait_up(self._arriving, hold=self._at.pace.hold)

    def reload_options(self) -> bool:
        """Bring other options into force with the servers that are proven; the rest joins afterwards, by a new plan.

        :returns: Whether that was needed.
        """
        plan, at = self._plan, self._at
        if plan.way != RELOAD or plan.base is None:
            return False
        self._begin(COMMITTING)
        at.write(render(dataclasses.replace(plan.service, servers=plan.base)))
        at.reload(states=plan.runtime, keep=plan.runtime)
        self._note(reload=False)
        return True

    def commit(self) -> Progress | None:
        """Carry the plan out.

        :returns: What is waited for when the slice is over; the caller makes a new plan then and calls again.
        """
        self._begin(COMMITTING)
        progress = self._carry_out()
        if not progress:
            self._compare()
        return progress

    def _carry_out(self) -> Progress | None:
        if self._plan.way != RELOAD:
            with contextlib.suppress(NotDynamicError):
                return self._at_runtime()
        self._by_reload()
        return None

    def _begin(self, stage: str) -> None:
        """Note what was there before the first step, and who is in our hands from now on."""
        plan, known = self._plan, self._pending
        ours = [change.name for change in plan.changes if change.kind != UNCHANGED] + [*plan.recover]
        fresh = not known.stage
        self._note(
            servers=tuple(dict.fromkeys([*known.servers, *ours])),
            reload=known.reload or plan.way == RELOAD,
            stage=known.stage if known.stage == COMMITTING else stage,
            before_text=plan.before_text if fresh else known.before_text,
            before=_proper(plan.runtime) if fresh else known.before,
            options=self._hurried,
        )

    @property
    def _arriving(self) -> list[Server]:
        """The servers that are going to get requests and do not yet."""
        plan = self._plan
        return [*plan.guests, *(server for server in plan.added if server.state != DRAIN), *plan.restored]

    # -- by a reload ------------------------------------------------------------------------

    def _by_reload(self) -> None:
        """Let a fresh process begin with the new file; its new servers have passed the gate."""
        plan, at = self._plan, self._at
        kept = {change.name for change in plan.changes if change.kind == UNCHANGED} - set(plan.recover)
        at.write(plan.text)
        at.reload(states=plan.runtime, keep=kept)
        at.wait_up(plan.gated)

    # -- at runtime -------------------------------------------------------------------------

    def _at_runtime(self) -> Progress | None:
        plan, at = self._plan, self._at
        self._admit()
        now = at.servers()
        serving = [server for server in self._arriving if server.name in now and now[server.name].admin == READY]
        at.require_up(serving)
        at.wait_up([server for server in self._arriving if server not in serving])
        self._weigh()
        for server in self._arriving:
            at.set_state(server.name, READY)
        # From here on a HAProxy that is reloaded by somebody else may as well begin with the new servers.
        at.write(plan.text)
        return self._leave()

    def _admit(self) -> None:
        """Add the servers that are new here, without a request for any of them yet."""
        plan, at = self._plan, self._at
        joining = {**dict.fromkeys(plan.guests, self._hurried), **dict.fromkeys(plan.added, self._options)}
        now = at.servers()
        for server, options in joining.items():
            if server.name not in now:
                at.enter(server, options=options)
        for server in (*plan.guests, *plan.restored):
            # In maintenance on purpose, or added by a run that was cut off before its checks began.
            if server.name in now and now[server.name].admin == MAINT:
                at.examine(server.name)

    def _weigh(self) -> None:
        now = self._at.servers()
        for server in self._plan.service.servers:
            if server.name in now and now[server.name].weight != server.weight:
                self._at.runtime.set_weight(self._at.name, server.name, server.weight)

    def _leave(self) -> Progress | None:
        """Let the old servers finish their requests and go, and the guests after them."""
        plan, at = self._plan, self._at
        resting = [server.name for server in plan.service.servers if server.state == DRAIN]
        progress = self._drain(
            [*(server.name for server in plan.moved), *plan.removed, *resting],
            watch=lambda: at.require_up(self._arriving),
        )
        if progress:
            return progress
        if plan.moved:
            self._settle()
            self._note(drain_until=None)
        guests = [*plan.stale, *(guest.name for guest in plan.guests)]
        progress = self._drain(guests, watch=lambda: None)
        if progress:
            return progress
        at.dismiss([*guests, *plan.removed])
        return None

    def _drain(self, names: t.Sequence[str], *, watch: t.Callable[[], None]) -> Progress | None:
        for name in names:
            self._at.set_state(name, DRAIN)
        return self._at.drain(names, until=self._deadline(), watch=watch) if names else None

    def _settle(self) -> None:
        """Give the servers that are empty now their new addresses, and let them take over from their guests."""
        plan, at = self._plan, self._at
        at.require_up(plan.guests)
        for server in plan.moved:
            at.move(server)
        back = [server for server in plan.moved if server.state != DRAIN]
        at.wait_up(back)
        for server in back:
            at.set_state(server.name, READY)

    def _deadline(self) -> float:
        """When the servers that drain have had their time; noted, so that the next slice knows it as well."""
        latest = self._at.clock.now() + self._at.pace.drain
        known = self._pending.drain_until
        # The clock begins anew with a reboot.
        until = latest if known is None else min(known, latest)
        if until != known:
            self._note(drain_until=until)
        return until

    def _note(self, **changes: t.Any) -> None:
        noted = dataclasses.replace(self._pending, **changes)
        if noted != self._pending:
            self._at.store.begin(noted)
        self._pending = noted

    # -- looking ----------------------------------------------------------------------------

    def _compare(self) -> None:
        servers = self._plan.service.servers
        in_file = parse.server_lines(self._at.store.read() or "").get(self._at.name, [])
        running = self._at.servers()
        serving = {name: (server.endpoint, server.weight) for name, server in running.items()}
        wanted, written = (
            {server.name: (server.endpoint, server.weight) for server in each} for each in (servers, in_file)
        )
        if not wanted == written == serving:
            raise WebstackError(f"file and running HAProxy differ: wanted {wanted}, file {written}, running {serving}.")


def prepare(*, make_plan: t.Callable[[], Plan], balancer: Balancer) -> None:
    """See `Transaction.prepare`."""
    _persist(lambda: Transaction(plan=make_plan(), balancer=balancer).prepare(), balancer=balancer)


def commit(*, make_plan: t.Callable[[], Plan], balancer: Balancer) -> Progress | None:
    """See `Transaction.commit`."""

    def carry_out() -> Progress | None:
        transaction = Transaction(plan=make_plan(), balancer=balancer)
        if transaction.reload_options():
            transaction = Transaction(plan=make_plan(), balancer=balancer)
        return transaction.commit()

    return _persist(carry_out, balancer=balancer)


def _persist(action: t.Callable[[], Result], *, balancer: Balancer, attempts: int = _ATTEMPTS) -> Result:
    """Do something, and once more where somebody else reloads HAProxy in the middle of it."""
    try:
        return action()
    except WebstackError:
        if attempts <= 1 or not balancer.was_reloaded():
            raise
    return _persist(action, balancer=balancer, attempts=attempts - 1)


def _proper(servers: RuntimeServers) -> RuntimeServers | None:
    """Leave out what an earlier run has left; None where HAProxy does not know the backend."""
    return {name: server for name, server in servers.items() if not is_guest(name)} or None
