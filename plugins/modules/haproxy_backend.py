#!/usr/bin/python

# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish a service on HAProxy, its servers changed without a lost request."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_backend
short_description: Publish a service on HAProxy and change its servers without a lost request
version_added: "0.1.0"
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
description:
  - Owns one service of the balancer, a frontend and the backend of the same name, as one file in O(config_directory)
    and in the running HAProxy, and keeps the two equal.
  - A server that is new, moved or brought back gets its first request only after it has answered HTTP requests of the
    balancer itself (the gate), has become UP by HAProxy's own health checks at its very address, and has stayed so
    for O(gate_hold) seconds. If one does not, it is taken out again, and everything stays as it was.
  - One that moves serves on at its old address meanwhile. It then takes no new requests, has O(drain_timeout) seconds
    to finish those it has, and leaves. Whatever still runs after that is not cut off.
  - Servers are added, moved, weighted, drained and removed in the running HAProxy over its admin socket, without a
    reload, and the file is written to the same state. Where an option differs, or where HAProxy cannot change a
    backend at runtime (O(balance) other than C(roundrobin), C(leastconn), C(first) and C(random)), the file is
    written and HAProxy reloaded.
  - The whole configuration is checked by HAProxy before anything is changed, and file and running HAProxy are
    compared afterwards. If a step fails, both are put back. A run that is cut off is finished or undone by the next
    one.
  - The last healthy server is never taken away.
  - What was changed by hand in the running HAProxy or in the file is put right. A server drained or put into
    maintenance by hand stays so, across a reload too, unless its address changes or its O(servers[].state) says
    otherwise.
  - One run at a time changes a balancer. The others wait; a run that has died keeps nobody out for longer than three
    minutes, and the next run of the same controller not at all.
attributes:
  check_mode:
    description: Reports what would change; the gate asks no server then, for it may not have been provisioned yet.
    support: full
  diff_mode:
    description: Shows the file's difference and one line for each server that changes.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
options:
  name:
    description:
      - The service's name, which names its frontend, its backend and its file.
    type: str
    required: true
  bind:
    description:
      - What the frontend listens on, each as HAProxy's C(bind) keyword takes it.
    type: list
    elements: str
    default: ["*:80"]
  servers:
    description:
      - All servers of the service. The list must not be empty.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The server's name, which stays the same when its address changes.
        type: str
        required: true
      address:
        description:
          - Its IP address, or a host name which is resolved on the balancer, once, now.
        type: str
        required: true
      port:
        description: Its TCP port.
        type: int
        required: true
      weight:
        description: Its share of the requests, 0 to 256.
        type: int
        default: 1
      state:
        description:
          - V(drain) gives it no new requests, also after a reload or a restart, and waits for those it has.
          - V(ready) brings it back, through the gate.
          - Where not given, it stays as it is.
        type: str
        choices: [ready, drain]
  balance:
    description:
      - How requests are spread over the servers, as HAProxy's C(balance) keyword takes it.
    type: str
    default: roundrobin
  check_path:
    description:
      - The path of the health checks. It should be shallow, or one slow database takes every server away.
    type: str
    default: /healthz
  check_host:
    description:
      - The C(Host) header of the health checks and of the gate.
    type: str
    default: localhost
  check_interval:
    description:
      - Seconds between two health checks of a server that is UP.
      - A quarter of it passes between those of a server that is DOWN, or whose last check differed from its state.
    type: float
    default: 1.0
  check_fall:
    description:
      - Failed health checks in a row until a server is DOWN.
    type: int
    default: 2
  check_rise:
    description:
      - Good health checks in a row until a server is UP.
    type: int
    default: 2
  slowstart:
    description:
      - Seconds in which the share of a server that has come back grows to its whole.
    type: float
    default: 0.0
  server_options:
    description:
      - More words for HAProxy's C(default-server) line, such as V(maxconn 100).
    type: str
    default: ""
  frontend_options:
    description:
      - More lines for the frontend, as HAProxy takes them.
    type: list
    elements: str
    default: []
  backend_options:
    description:
      - More lines for the backend, as HAProxy takes them.
    type: list
    elements: str
    default: []
  gate:
    description:
      - Whether new and changed servers have to answer before anything is changed.
    type: bool
    default: true
  gate_path:
    description:
      - The path they have to answer with a 2xx. It should be deep, such as one that asks the database.
      - By default O(check_path).
    type: str
  gate_successes:
    description:
      - Good answers in a row that are asked for.
    type: int
    default: 3
  gate_retries:
    description:
      - Bad answers a server may give before that, one every O(gate_delay) seconds.
    type: int
    default: 5
  gate_delay:
    description:
      - Seconds between a bad answer and the next try.
    type: float
    default: 1.0
  gate_timeout:
    description:
      - Seconds one answer may take.
    type: float
    default: 3.0
  gate_hold:
    description:
      - Seconds for which a new or changed server must stay UP by the balancer's own health checks before it gets its
        first request.
    type: float
    default: 1.5
  drain_timeout:
    description:
      - Seconds for which the requests in flight on a server that leaves are waited for.
    type: float
    default: 30.0
  wait_timeout:
    description:
      - Seconds to wait for a server to be UP, for a reload to be done, or for another run on the same balancer to end.
    type: float
    default: 30.0
  config_file:
    description:
      - HAProxy's main configuration file.
    type: path
    default: /etc/haproxy/haproxy.cfg
  config_directory:
    description:
      - The directory HAProxy reads beside it.
    type: path
    default: /etc/haproxy/conf.d
  socket:
    description:
      - HAProxy's admin socket.
    type: path
    default: /run/haproxy/admin.sock
  unit:
    description:
      - HAProxy's systemd unit.
    type: str
    default: haproxy
  step:
    description:
      - V(all) does everything. The other values do a part of it, so that several balancers can take each step together,
        as the role P(phoenix.webstack.haproxy_backend#role) has them do.
      - V(plan) looks; V(lease) keeps other runs out; V(prepare) passes the gate and lets the new servers become UP;
        V(commit) takes them into service; V(confirm) ends the change; V(undo) puts back what was done since V(prepare).
    type: str
    choices: [all, plan, lease, prepare, commit, confirm, undo]
    default: all
  slice:
    description:
      - Seconds after which a drain is handed back, to be shown and gone on with. Set by the action plugin.
    type: float
    default: 0.0
  lease_owner:
    description:
      - What tells this run from others. Set by the action plugin.
    type: str
    default: ""
  lease_holder:
    description:
      - The same in words. Set by the action plugin.
    type: str
    default: ""
  lease_dead:
    description:
      - A run that is known to have ended, whose lease counts no more. Set by the action plugin.
    type: str
    default: ""
seealso:
  - module: phoenix.webstack.haproxy_backend_info
"""

EXAMPLES = r"""
- name: Publish the web servers
  phoenix.webstack.haproxy_backend:
    name: web
    servers:
      - name: web-01
        address: 10.0.0.5
        port: 80
      - name: web-02
        address: 10.0.0.6
        port: 80
    gate_path: /readyz

- name: Take one of them out of service
  phoenix.webstack.haproxy_backend:
    name: web
    servers:
      - name: web-01
        address: 10.0.0.5
        port: 80
        state: drain
      - name: web-02
        address: 10.0.0.6
        port: 80
    gate_path: /readyz
"""

RETURN = r"""
way:
  description: How the change was made, C(none), C(runtime) (no reload) or C(reload).
  returned: success
  type: str
  sample: runtime
servers:
  description: Every server, with what became of it.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The server's name.
      type: str
    address:
      description: Its address, V(null) for a removed one.
      type: str
    port:
      description: Its port, V(null) for a removed one.
      type: int
    change:
      description: C(unchanged), C(altered), C(moved), C(added) or C(removed).
      type: str
    notes:
      description: What changes beside its address, such as C(weight 1 -> 5).
      type: list
      elements: str
    file_before:
      description: Its address and port in the file before, V(null) if it was not in there.
      type: str
    runtime_before:
      description: Its address and port in the running HAProxy before, V(null) if it was not in there.
      type: str
gate:
  description: The last answer of every server that was asked, by name.
  returned: success
  type: dict
  sample:
    web-01: HTTP 200 OK
open:
  description: Whether there is something to be done by the other steps.
  returned: when O(step=plan)
  type: bool
waiting:
  description: What a slice has left to wait for, V(null) at the end.
  returned: success
  type: dict
sessions_left:
  description: The requests that still run on servers which are drained, by name.
  returned: success
  type: dict
  sample:
    web-01: 2
path:
  description: The service's file.
  returned: success
  type: str
  sample: /etc/haproxy/conf.d/web.cfg
"""

import contextlib
import dataclasses
import os
import socket
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse, probe, validate
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.apply import commit, prepare
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.balancer import Balancer, Pace, Progress
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import AdminSocket
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.lease import Leases
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import DRAIN, Server, Service
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.options import SERVICE
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.pending import PREPARED
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.plan import NOTHING, Change, Plan, make_plan
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.restore import put_back, restore
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.store import Store

STEPS = ("all", "plan", "lease", "prepare", "commit", "confirm", "undo")


class BackendModule:
    """Wires the module's parameters to plan, gate and transaction."""

    def __init__(self, *, module: AnsibleModule) -> None:
        self._module = module
        self._params = module.params
        self._runner = ModuleCommandRunner(module=module)
        self._runtime = AdminSocket(path=self._params["socket"])
        # Before its name is used as a file's.
        self._service = _service(self._params)
        validate.check_service(self._service)
        self._store = Store(directory=self._params["config_directory"], name=self._service.name)
        self._leases = Leases(
            store=self._store,
            owner=self._params["lease_owner"] or f"pid {os.getpid()}",
            holder=self._params["lease_holder"] or f"process {os.getpid()} of this balancer",
        )
        self._binary = module.get_bin_path("haproxy")

    def run(self) -> dict[str, t.Any]:
        """Do the module's work and give its result."""
        step = self._params["step"]
        if self._module.check_mode or step == "plan":
            plan = self._plan()
            plan.refuse_outage()
            if self._binary and Path(self._params["config_file"]).exists():
                self._validate(plan)
            begun = plan.way != NOTHING or self._store.pending() is not None
            return {
                **self._result(plan, changed=self._module.check_mode and plan.way != NOTHING),
                "open": begun and not self._module.check_mode,
            }
        self._require_haproxy()
        with self._store.lock(timeout=self._params["wait_timeout"]):
            return self._step(step)

    # -- the steps --------------------------------------------------------------------------

    def _step(self, step: str) -> dict[str, t.Any]:
        plan = self._plan()
        if step in ("all", "prepare") and plan.way == NOTHING and self._store.pending() is None:
            return self._result(plan)
        renewed = self._leases.take(dead=self._params["lease_dead"])
        if step == "all":
            return self._all(plan, renewed=renewed)
        if step == "prepare":
            return self._result(plan, gate=self._prepare(plan), changed=True)
        if step == "commit":
            return self._result(plan, waiting=self._commit(), changed=plan.way != NOTHING)
        if step == "undo":
            return {"changed": self._undo()}
        if step == "confirm":
            self._conclude()
        return {"changed": False}

    def _all(self, plan: Plan, *, renewed: bool) -> dict[str, t.Any]:
        """Take every step, all in one call unless a drain outlasts its slice."""
        try:
            gate = {} if renewed else self._prepare(plan)
            waiting = self._commit()
        except WebstackError:
            self._leases.give_back()
            raise
        if not waiting:
            self._conclude()
        return self._result(plan, gate=gate, waiting=waiting, changed=plan.way != NOTHING)

    def _prepare(self, plan: Plan) -> dict[str, str]:
        if plan.way == NOTHING:
            return {}
        plan.refuse_outage()
        self._validate(plan)
        gate = self._gate(plan)
        at = self._balancer()
        with self._put_back(at):
            prepare(make_plan=self._plan, balancer=at)
        return gate

    def _commit(self) -> Progress | None:
        at = self._balancer()
        self._look_again(at)
        with self._put_back(at):
            return commit(make_plan=self._plan, balancer=at)

    def _look_again(self, at: Balancer) -> None:
        """Ask the new servers once more, right before they get requests."""
        pending = self._store.pending()
        if not pending or pending.stage != PREPARED:
            return
        try:
            plan = self._plan()
            plan.refuse_outage()
            self._gate(plan, once=True)
        except WebstackError:
            restore(at)
            raise

    def _undo(self) -> bool:
        try:
            return restore(self._balancer())
        finally:
            self._leases.give_back()

    def _conclude(self) -> None:
        self._store.end()
        self._leases.give_back()

    @contextlib.contextmanager
    def _put_back(self, at: Balancer) -> t.Iterator[None]:
        try:
            yield
        except WebstackError as error:
            raise put_back(at, error) from error

    # -- their parts ------------------------------------------------------------------------

    def _plan(self) -> Plan:
        before = self._store.read()
        known = {server.name: server for server in parse.server_lines(before or "").get(self._service.name, [])}
        return make_plan(
            service=validate.resolve(self._service, known=known, lookup=_lookup),
            before_text=before,
            runtime=self._runtime.servers(self._service.name),
            pending=self._store.pending(),
        )

    def _balancer(self) -> Balancer:
        return Balancer(
            name=self._service.name,
            runtime=self._runtime,
            store=self._store,
            reload=lambda: self._systemctl("reload-or-restart"),
            pace=Pace(
                timeout=self._params["wait_timeout"],
                hold=self._params["gate_hold"],
                drain=self._params["drain_timeout"],
                slice=self._params["slice"] or float("inf"),
            ),
        )

    def _gate(self, plan: Plan, *, once: bool = False) -> dict[str, str]:
        """Ask the servers that are to get requests; once is enough for those that have been asked before."""
        if not self._params["gate"]:
            return {}
        gate = probe.Gate(
            path=self._params["gate_path"] or self._service.check_path,
            host=self._service.check_host,
            successes=1 if once else self._params["gate_successes"],
            retries=0 if once else self._params["gate_retries"],
            delay=self._params["gate_delay"],
            timeout=self._params["gate_timeout"],
        )
        return probe.pass_gate(plan.gated, gate=gate, probe=probe.HttpProbe(gate=gate))

    def _validate(self, plan: Plan) -> None:
        self._store.validate(
            plan.text,
            runner=self._runner,
            binary=str(self._binary),
            config_file=self._params["config_file"],
        )

    def _systemctl(self, verb: str) -> None:
        self._runner.run(["systemctl", verb, self._params["unit"]])

    def _require_haproxy(self) -> None:
        missing = [
            *([] if self._binary else ["the haproxy command"]),
            *(
                path
                for path in (self._params["config_file"], self._params["config_directory"])
                if not Path(path).exists()
            ),
        ]
        if missing:
            raise WebstackError(
                f"HAProxy is not set up on this host: {' and '.join(missing)} is missing. Nothing was changed."
                " Next: apply the role phoenix.webstack.haproxy to this host first."
            )

    def _result(
        self,
        plan: Plan,
        *,
        changed: bool = False,
        gate: t.Mapping[str, str] | None = None,
        waiting: Progress | None = None,
    ) -> dict[str, t.Any]:
        file_diff = {
            "before": plan.before_text or "",
            "after": plan.text,
            "before_header": str(self._store.path),
            "after_header": str(self._store.path),
        }
        lines = "".join(f"{line}\n" for line in plan.lines)
        return {
            "changed": changed,
            "way": plan.way,
            "path": str(self._store.path),
            "gate": dict(gate or {}),
            "servers": [_described(change) for change in plan.changes],
            "waiting": dataclasses.asdict(waiting) if waiting else None,
            "sessions_left": self._sessions_left(plan),
            # The step before has shown it.
            **(
                {}
                if self._params["step"] == "commit"
                else {"diff": [file_diff, *([{"prepared": lines}] if lines else [])]}
            ),
        }

    def _sessions_left(self, plan: Plan) -> dict[str, int]:
        """Count what still runs on the servers that are to be out of service."""
        resting = [server.name for server in plan.service.servers if server.state == DRAIN]
        running = (self._runtime.servers(self._service.name) or {}) if resting else {}
        return {name: running[name].sessions for name in resting if name in running and running[name].sessions}


def _service(params: t.Mapping[str, t.Any]) -> Service:
    return Service(
        name=params["name"],
        bind=tuple(params["bind"]),
        servers=tuple(Server(**server) for server in params["servers"]),
        frontend_options=tuple(params["frontend_options"]),
        backend_options=tuple(params["backend_options"]),
        **{
            key: params[key]
            for key in (
                "balance",
                "check_path",
                "check_host",
                "check_interval",
                "check_fall",
                "check_rise",
                "slowstart",
                "server_options",
            )
        },
    )


def _described(change: Change) -> dict[str, t.Any]:
    server = change.server
    return {
        "name": change.name,
        "address": server.address if server else None,
        "port": server.port if server else None,
        "change": change.kind,
        "notes": list(change.notes),
        "file_before": change.in_file,
        "runtime_before": change.in_runtime,
    }


def _lookup(name: str) -> list[str]:
    with contextlib.suppress(OSError):
        return [str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    return []


def argument_spec() -> dict[str, dict[str, t.Any]]:
    """Describe the module's parameters."""
    return {
        **SERVICE,
        "gate": {"type": "bool", "default": True},
        "gate_path": {"type": "str"},
        "gate_successes": {"type": "int", "default": 3},
        "gate_retries": {"type": "int", "default": 5},
        "gate_delay": {"type": "float", "default": 1.0},
        "gate_timeout": {"type": "float", "default": 3.0},
        "gate_hold": {"type": "float", "default": 1.5},
        "drain_timeout": {"type": "float", "default": 30.0},
        "wait_timeout": {"type": "float", "default": 30.0},
        "unit": {"type": "str", "default": "haproxy"},
        "step": {"type": "str", "choices": list(STEPS), "default": "all"},
        "slice": {"type": "float", "default": 0.0},
        "lease_owner": {"type": "str", "default": ""},
        "lease_holder": {"type": "str", "default": ""},
        "lease_dead": {"type": "str", "default": ""},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = BackendModule(module=module).run()
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
