from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import RuntimeServers, Service
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.pending import Pending
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.plan import Plan, make_plan
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import render

from tests.unit.haproxy.world import running, service

A, B, C = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"


def runtime(of: Service) -> RuntimeServers:
    return {server.name: running(server) for server in of.servers}


def plan(wanted: Service, *, file: Service | None, now: Service | None, **more: t.Any) -> Plan:
    arguments: dict[str, t.Any] = {
        "before_text": render(file) if file else None,
        "runtime": runtime(now) if now else None,
        "pending": None,
    }
    return make_plan(service=wanted, **{**arguments, **more})


def test_nothing_to_do() -> None:
    found = plan(service(A, B), file=service(A, B), now=service(A, B))
    assert (found.way, found.lines, found.gated, found.moved) == ("none", [], [], [])


def test_a_new_address_takes_no_reload() -> None:
    found = plan(service(C, B), file=service(A, B), now=service(A, B))
    assert (found.way, found.lines) == ("runtime", [f"web-01: {A} -> {C}"])
    assert [server.endpoint for server in found.gated] == [C]


def test_an_address_changed_at_runtime_only_is_put_right() -> None:
    found = plan(service(A, B), file=service(A, B), now=service(C, B))
    assert (found.way, found.lines) == ("runtime", [f"web-01: {C} (at runtime only) -> {A}"])
    assert [server.endpoint for server in found.gated] == [A]


def test_an_address_changed_by_a_run_that_died_before_the_file() -> None:
    found = plan(service(C, B), file=service(A, B), now=service(C, B))
    assert (found.way, found.moved) == ("runtime", [])
    assert [server.endpoint for server in found.gated] == [C]


def test_a_new_server_is_gated_and_takes_no_reload() -> None:
    found = plan(service(A, B, C), file=service(A, B), now=service(A, B))
    assert (found.way, found.lines) == ("runtime", [f"web-03: new -> {C}"])
    assert [server.name for server in found.gated] == ["web-03"]


def test_a_server_less() -> None:
    found = plan(service(A), file=service(A, B), now=service(A, B))
    assert (found.way, found.lines, found.gated) == ("runtime", [f"web-02: {B} -> removed"], [])


def test_a_server_that_somebody_added_at_runtime() -> None:
    found = plan(service(A), file=service(A), now=service(A, B))
    assert (found.way, found.lines) == ("runtime", [f"web-02: {B} -> removed"])


def test_another_option() -> None:
    found = plan(service(A, B, balance="leastconn"), file=service(A, B), now=service(A, B))
    assert (found.way, found.lines, found.gated) == ("reload", [], [])


def test_a_file_edited_by_hand() -> None:
    text = render(service(A, B)).replace("fall 2", "fall 9")
    assert plan(service(A, B), file=None, now=service(A, B), before_text=text).way == "reload"


def test_a_fresh_balancer() -> None:
    found = plan(service(A, B), file=None, now=None)
    assert (found.way, found.lines) == ("reload", [f"web-01: new -> {A}", f"web-02: new -> {B}"])
    assert len(found.gated) == 2


def test_a_file_nobody_has_read() -> None:
    found = plan(service(A, B), file=service(A, B), now=None)
    assert (found.way, found.gated) == ("reload", [])
    assert found.lines == ["web: in the file but not in the running HAProxy -> reload"]


def test_a_reload_that_was_begun() -> None:
    found = plan(service(A, B), file=service(A, B), now=service(A, B), pending=Pending(reload=True))
    assert found.way == "reload"


def test_a_server_left_drained_is_ours_to_bring_back_only_if_we_drained_it() -> None:
    now = runtime(service(A, B))
    now["web-01"] = dataclasses.replace(now["web-01"], admin="drain")
    for pending, way in (
        (None, "none"),
        (Pending(servers=("web-02",)), "none"),
        (Pending(servers=("web-01",)), "runtime"),
    ):
        assert plan(service(A, B), file=service(A, B), now=None, runtime=now, pending=pending).way == way


def test_a_journal_that_was_cut_off_asks_for_a_reload() -> None:
    whole = Pending(servers=("web-01",), reload=False).dump()
    assert Pending.load(whole) == Pending(servers=("web-01",), reload=False)
    assert Pending.load(whole[:10]).reload
    assert Pending.load("").reload
    assert Pending.load("[]").reload
