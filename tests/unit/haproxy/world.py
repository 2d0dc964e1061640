"""A HAProxy and a disk in memory, which can die at any step, and which notice a request gone wrong."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.balancer import Clock
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import NoAnswerError, NotDynamicError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    RuntimeServer,
    RuntimeServers,
    Server,
    Service,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.pending import Pending


class Killed(BaseException):
    """The run is over, at this very step; no `except` of the code sees it."""


class World:
    """One balancer: its file, its running HAProxy, and the web servers that are really alive.

    :arg steps: Every change of file or HAProxy, in order.
    :arg die_at: The number of the step that is not carried out any more.
    :arg fail_at: The number of the step that fails instead.
    :arg reload_at: The number of the step before which somebody else reloads HAProxy.
    :arg busy: When the last request that runs at an endpoint will have ended.
    :arg deaths: When an endpoint dies.
    :arg dynamic: Whether servers can be added to the running HAProxy.
    """

    def __init__(self, *, alive: t.Iterable[str]) -> None:
        self.alive = set(alive)
        self.file: str | None = None
        self.journal: str | None = None
        self.servers_by_name: RuntimeServers | None = None
        self.running_pid: int | None = 1
        self.reload_works = True
        self.steps: list[str] = []
        self.die_at = self.fail_at = self.reload_at = -1
        self.busy: dict[str, float] = {}
        self.deaths: dict[str, float] = {}
        self.dynamic = True
        self.lost: list[str] = []
        self.unchecked: set[str] = set()
        self.time = 0.0

    # -- what happens by itself -------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.time, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.alive -= {endpoint for endpoint, when in self.deaths.items() if when <= self.time}
        self._check_health()

    def _check_health(self) -> None:
        for name, server in (self.servers_by_name or {}).items():
            well = server.endpoint in self.alive
            if name not in self.unchecked:
                self._set(
                    name,
                    healthy=well,
                    checked=True,
                    status="UP" if well else "DOWN",
                    check="L7OK 200" if well else "L4CON",
                )

    def _step(self, text: str) -> None:
        number = len(self.steps)
        if number == self.reload_at:
            self.reload_at = -1
            self._read_file()
        if number == self.die_at:
            raise Killed
        self.steps.append(text)
        if number == self.fail_at:
            raise NoAnswerError("HAProxy did not answer.")

    def _look_for_lost_requests(self) -> None:
        """A request goes wrong where a server that is dead passes for one that serves."""
        servers = (self.servers_by_name or {}).values()
        for server in servers:
            if server.serving and server.endpoint not in self.alive:
                self.lost.append(f"{self.steps[-1]}: {server.name} {server.endpoint}")
        if servers and not any(server.serving for server in servers):
            self.lost.append(f"{self.steps[-1]}: nobody serves")

    def _set(self, name: str, **changes: t.Any) -> None:
        servers = self.servers_by_name
        if servers is None or name not in servers:
            raise WebstackError("No such server.")
        servers[name] = dataclasses.replace(servers[name], **changes)

    # -- Runtime ----------------------------------------------------------------------------

    def pid(self) -> int | None:
        return self.running_pid

    def servers(self, backend: str) -> RuntimeServers | None:
        assert backend == "web"
        for name, server in (self.servers_by_name or {}).items():
            self._set(name, sessions=int(self.busy.get(server.endpoint, 0) > self.time))
        return dict(self.servers_by_name) if self.servers_by_name is not None else None

    def set_address(self, backend: str, server: Server) -> None:
        self._step(f"{backend}/{server.name} addr {server.endpoint}")
        self._set(server.name, address=server.address, port=server.port)
        self._look_for_lost_requests()

    def set_state(self, backend: str, name: str, state: str) -> None:
        self._step(f"{backend}/{name} {state}")
        self._set(name, admin=state)
        self._look_for_lost_requests()

    def set_health(self, backend: str, name: str, health: str) -> None:
        self._step(f"{backend}/{name} health {health}")
        self._set(name, healthy=health == "up")
        self._look_for_lost_requests()

    def enable_checks(self, backend: str, name: str) -> None:
        assert backend == "web"
        self.unchecked.discard(name)

    def set_weight(self, backend: str, name: str, weight: int) -> None:
        self._step(f"{backend}/{name} weight {weight}")
        self._set(name, weight=weight)

    def add(self, backend: str, server: Server, *, options: str) -> None:
        assert options.startswith("check ")
        if not self.dynamic:
            raise NotDynamicError("Backend must use a dynamic load balancing to support dynamic servers.")
        self._step(f"add {backend}/{server.name} {server.endpoint}")
        assert self.servers_by_name is not None
        self.servers_by_name[server.name] = running(server, admin="maint", healthy=False)
        self.unchecked.add(server.name)

    def delete(self, backend: str, name: str) -> None:
        self._step(f"del {backend}/{name}")
        server = (self.servers_by_name or {}).pop(name, None)
        if not server:
            raise WebstackError("No such server.")
        assert server.admin == "maint"
        assert not server.sessions

    def reload(self) -> None:
        self._step("reload")
        if not self.reload_works:
            raise WebstackError("Job for haproxy.service failed.")
        self._read_file()

    def _read_file(self) -> None:
        self.running_pid = (self.running_pid or 0) + 1
        lines = parse.server_lines(self.file or "").get("web")
        self.unchecked.clear()
        self.servers_by_name = (
            None
            if lines is None
            else {line.name: running(line, admin="maint" if line.state else "ready") for line in lines}
        )

    # -- Store ------------------------------------------------------------------------------

    path = "/etc/haproxy/conf.d/web.cfg"
    directory = "/etc/haproxy/conf.d"

    def read(self) -> str | None:
        return self.file

    def write(self, text: str | None) -> None:
        self._step("write" if text is not None else "remove")
        self.file = text

    def pending(self) -> Pending | None:
        return None if self.journal is None else Pending.load(self.journal)

    def begin(self, pending: Pending) -> None:
        self._step("note")
        self.journal = pending.dump()

    def end(self) -> None:
        if self.journal is not None:
            self._step("end")
        self.journal = None


def running(server: Server, **changes: t.Any) -> RuntimeServer:
    fresh = RuntimeServer(
        name=server.name,
        address=server.address,
        port=server.port,
        status="UP",
        healthy=True,
        checked=False,
        admin="ready",
        check="INI",
        sessions=0,
        weight=server.weight,
    )
    return dataclasses.replace(fresh, **changes)


def service(*endpoints: str, **options: t.Any) -> Service:
    """A service with the servers web-01, web-02 …, at these endpoints."""
    servers = [
        Server(f"web-{number:02}", *parse.split_endpoint(where)) for number, where in enumerate(endpoints, 1) if where
    ]
    return Service(name="web", bind=("*:80",), servers=tuple(servers), **options)
