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
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import NotDynamicError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    DRAIN,
    MAINT,
    READY,
    RuntimeServer,
    RuntimeServers,
    Server,
    host_of,
    is_guest,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.pending import COMMITTING, PREPARED, Pending
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.plan import RELOAD, UNCHANGED, Plan
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import (
    render,
    same_options,
    server_options,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import Runtime
    from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.store import Store

_POLL = 0.05
_DRAIN_POLL = 0.2
# A connection that HAProxy has just given up keeps its server from being deleted for a moment.
_DELETE_TRIES = 40
_ATTEMPTS = 3

Result = t.TypeVar("Result")


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


def put_back(at: Balancer, error: WebstackError) -> WebstackError:
    """Restore file and running HAProxy after a failure, and say how that went."""
    try:
        restore(at)
    except WebstackError as second:
        return WebstackError(
            f"The change of {at.name} failed: {error.message}"
            f" Putting the former state back failed as well: {second.message}"
            " Next: run the playbook again; it goes on from here.",
            restored=False,
        )
    return WebstackError(
        f"The change of {at.name} failed: {error.message}"
        " The former addresses and the former file were put back."
        " Next: correct the cause and run the playbook again.",
        restored=True,
    )


def restore(at: Balancer) -> bool:
    """Bring back what the journal says was there before; a server that is not UP gets no request on the way.

    :returns: Whether there was anything to bring back.
    :raises WebstackError: when that is not possible; what serves now goes on serving then.
    """
    pending = at.store.pending()
    if pending is None:
        return False
    now, before = at.runtime.servers(at.name) or {}, pending.before or {}
    began = pending.stage != PREPARED
    read_again = began and (
        pending.reload or not same_options(at.store.read(), pending.before_text) or not set(before) <= set(now)
    )
    at.write(pending.before_text)
    if read_again:
        at.reload(states=before, keep=before)
    if before:
        _restore_servers(at, before, options=pending.options)
    at.store.end()
    return True


def _restore_servers(at: Balancer, before: RuntimeServers, *, options: str) -> None:
    now = at.servers()
    there = {name: former for name, former in before.items() if name in now}
    elsewhere = [_as_server(former) for name, former in there.items() if now[name].endpoint != former.endpoint]
    # First those that can serve at once.
    for name, former in there.items():
        if now[name].weight != former.weight:
            at.runtime.set_weight(at.name, name, former.weight)
        if now[name].endpoint == former.endpoint:
            at.set_state(name, former.admin)
    well = [server.guest for server in elsewhere if there[server.name].healthy]
    guests = [guest for guest in well if _comes_up(at, guest, options=options)]
    _require_somebody(at, [*guests, *(_as_server(former) for former in there.values())])
    for guest in guests:
        at.set_state(guest.name, READY)
    leaving = [server.name for server in elsewhere]
    for name in leaving:
        at.set_state(name, DRAIN)
    at.drain(leaving, until=at.clock.now() + at.pace.drain, watch=lambda: None)
    for server in elsewhere:
        at.move(server)
        # Where it does not come up, it gets no request until its checks say so.
        if server.guest in guests:
            with contextlib.suppress(WebstackError):
                at.wait_up([server])
        at.set_state(server.name, there[server.name].admin)
    _send_away(at, [name for name in at.servers() if name not in before])


def _comes_up(at: Balancer, server: Server, *, options: str) -> bool:
    """Try an address as a server of its own."""
    with contextlib.suppress(WebstackError):
        if server.name not in at.servers():
            at.enter(server, options=options)
        at.wait_up([server])
        return True
    return False


def _require_somebody(at: Balancer, servers: t.Sequence[Server]) -> None:
    """Do not take the service away from its users for the sake of the former state."""
    now = at.servers()
    well = [each for each in servers if each.name in now and now[each.name].endpoint == each.endpoint]
    if not any(now[each.name].healthy for each in well) and any(server.serving for server in now.values()):
        raise WebstackError("none of the former servers is UP any more, so the new ones go on serving.")


def _send_away(at: Balancer, names: t.Sequence[str]) -> None:
    for name in names:
        at.set_state(name, DRAIN)
    at.drain(names, until=at.clock.now() + at.pace.drain, watch=lambda: None)
    at.dismiss(names)


def _proper(servers: RuntimeServers) -> RuntimeServers | None:
    """Leave out what an earlier run has left; None where HAProxy does not know the backend."""
    return {name: server for name, server in servers.items() if not is_guest(name)} or None


def _as_server(running: RuntimeServer) -> Server:
    return Server(name=running.name, address=running.address, port=running.port)


def is_up(running: RuntimeServer, wanted: Server) -> bool:
    return running.endpoint == wanted.endpoint and running.healthy and running.checked


def _sentences(servers: t.Sequence[RuntimeServer], when: str) -> str:
    return "; ".join(
        f"server {host_of(each.name)} ({each.endpoint}) is {each.status or 'unknown'} {when}"
        f" (last check: {each.check or 'none'})"
        for each in servers
    )
