"""Whatever is cut off, fails or dies: no dead server serves, and the next run ends where it should."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.apply import commit, prepare
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.balancer import Balancer, Pace
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Service
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.plan import Plan, make_plan
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import render
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.restore import put_back, restore

from tests.unit.haproxy.world import Killed, World, running, service

A, B, C, D = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"


def world(now: Service, *, alive: t.Iterable[str] = (A, B, C, D)) -> World:
    made = World(alive=alive)
    made.file = render(now)
    made.servers_by_name = {
        server.name: running(server, checked=True, healthy=server.endpoint in made.alive) for server in now.servers
    }
    return made


def balancer(at: World, *, part: float = float("inf")) -> Balancer:
    return Balancer(
        name="web",
        runtime=at,
        store=at,  # type: ignore[arg-type]
        reload=at.reload,
        pace=Pace(timeout=5, hold=1, drain=10, slice=part),
        clock=at.clock,
    )


def planned(wanted: Service, at: World) -> Plan:
    return make_plan(service=wanted, before_text=at.read(), runtime=at.servers("web"), pending=at.pending())


def apply(wanted: Service, at: World) -> str:
    """Do what the module does in one call."""
    plan = planned(wanted, at)
    if plan.way == "none" and not at.pending():
        return plan.way
    here = balancer(at)
    try:
        if plan.way != "none":
            prepare(make_plan=lambda: planned(wanted, at), balancer=here)
        assert commit(make_plan=lambda: planned(wanted, at), balancer=here) is None
    except WebstackError as error:
        raise put_back(here, error) from error
    at.end()
    return plan.way


def state(at: World) -> dict[str, tuple[str, str]]:
    return {name: (server.endpoint, server.admin) for name, server in (at.servers("web") or {}).items()}


def assert_settled(at: World, wanted: Service) -> None:
    assert at.file == render(wanted)
    assert state(at) == {server.name: (server.endpoint, "ready") for server in wanted.servers}
    assert at.journal is None


def test_a_new_address_is_up_before_the_old_one_goes_and_its_guest_leaves_last() -> None:
    at = world(service(A, B))
    guest = service(C).servers[0].guest.name
    assert apply(service(C, B), at) == "runtime"
    assert [step for step in at.steps if step != "note"] == [
        f"add web/{guest} {C}",
        f"web/{guest} drain",
        f"web/{guest} health down",
        f"web/{guest} ready",
        "write",
        "web/web-01 drain",
        "web/web-01 drain",
        "web/web-01 health down",
        f"web/web-01 addr {C}",
        "web/web-01 health down",
        "web/web-01 ready",
        f"web/{guest} drain",
        f"web/{guest} maint",
        f"del web/{guest}",
        "end",
    ]
    assert_settled(at, service(C, B))
    assert at.lost == []


def test_the_only_server_moves_without_a_gap() -> None:
    at = world(service(A))
    apply(service(C), at)
    assert_settled(at, service(C))
    assert at.lost == []


def test_an_old_server_finishes_its_requests_first() -> None:
    at = world(service(A, B))
    at.busy[A] = 5.0
    apply(service(C, B), at)
    assert at.time > 5.0
    assert_settled(at, service(C, B))


def test_an_old_server_gets_only_so_much_time() -> None:
    at = world(service(A, B))
    at.busy[A] = 1000.0
    apply(service(C, B), at)
    assert 10 < at.time < 20
    assert_settled(at, service(C, B))


def test_a_removed_server_that_is_still_busy_leaves_with_a_reload() -> None:
    at = world(service(A, B))
    at.busy[B] = 1000.0
    assert apply(service(A), at) == "runtime"
    assert "reload" in at.steps
    assert "del web/web-02" not in at.steps
    assert_settled(at, service(A))


def test_a_drain_is_carried_out_in_slices() -> None:
    at = world(service(A, B))
    at.busy[A] = 5.0
    wanted = service(C, B)
    prepare(make_plan=lambda: planned(wanted, at), balancer=balancer(at))
    seen = []
    while True:
        progress = commit(make_plan=lambda: planned(wanted, at), balancer=balancer(at, part=1.0))
        if progress is None:
            break
        seen.append(progress)
    assert [each.sessions for each in seen] == [{"web-01": 1}] * len(seen)
    assert [round(each.seconds) for each in seen] == [9, 8, 7][: len(seen)]
    at.end()
    assert_settled(at, wanted)


def test_a_guest_that_dies_while_the_old_one_drains_puts_the_old_one_back() -> None:
    at = world(service(A))
    at.busy[A] = 5.0
    wanted = service(C)
    prepare(make_plan=lambda: planned(wanted, at), balancer=balancer(at))
    assert commit(make_plan=lambda: planned(wanted, at), balancer=balancer(at, part=1.0))
    at.alive.discard(C)
    here = balancer(at)
    with pytest.raises(WebstackError, match="is DOWN although it was UP a moment ago") as caught:
        commit(make_plan=lambda: planned(wanted, at), balancer=here)
    assert put_back(here, caught.value).data == {"restored": True}
    assert_settled(at, service(A))


def test_a_server_that_dies_within_the_hold_gets_no_request() -> None:
    at = world(service(A, B))
    at.deaths[C] = 0.8
    with pytest.raises(WebstackError, match="although it was UP a moment ago"):
        apply(service(C, B), at)
    assert not any(":" in step and step.endswith("ready") for step in at.steps)
    assert_settled(at, service(A, B))


def test_a_prepared_change_is_undone_without_a_trace() -> None:
    at = world(service(A, B))
    prepare(make_plan=lambda: planned(service(C, B), at), balancer=balancer(at))
    assert restore(balancer(at))
    assert "reload" not in at.steps
    assert "write" not in at.steps
    assert_settled(at, service(A, B))
    assert not restore(balancer(at))


def test_a_finished_change_is_undone_as_gently() -> None:
    at = world(service(A, B))
    wanted = service(C, D)
    prepare(make_plan=lambda: planned(wanted, at), balancer=balancer(at))
    assert commit(make_plan=lambda: planned(wanted, at), balancer=balancer(at)) is None
    at.alive.discard(A)
    restore(balancer(at))
    assert_settled(at, service(A, B))
    assert at.lost == []


def test_a_server_is_drained_and_restored() -> None:
    at = world(service(A, B))
    resting = dataclasses.replace(service(A, B).servers[0], state="drain")
    out = dataclasses.replace(service(A, B), servers=(resting, service(A, B).servers[1]))
    assert apply(out, at) == "runtime"
    assert at.file == render(out)
    assert state(at)["web-01"] == (A, "drain")
    assert apply(out, at) == "none"
    back = dataclasses.replace(service(A, B), servers=(dataclasses.replace(resting, state="ready"), out.servers[1]))
    assert apply(back, at) == "runtime"
    assert_settled(at, service(A, B))


def test_weights_change_at_runtime() -> None:
    at = world(service(A, B))
    servers = (dataclasses.replace(service(A).servers[0], weight=5), service(A, B).servers[1])
    wanted = dataclasses.replace(service(A, B), servers=servers)
    assert apply(wanted, at) == "runtime"
    assert "web/web-01 weight 5" in at.steps
    assert_settled(at, wanted)
    assert apply(wanted, at) == "none"


def test_a_dead_server_comes_back_elsewhere() -> None:
    at = world(service(A, B), alive={B, C})
    apply(service(C, B), at)
    assert_settled(at, service(C, B))
    assert at.lost == []


def test_a_second_run_does_nothing() -> None:
    at = world(service(A, B))
    assert apply(service(A, B), at) == "none"
    assert at.steps == []


def test_a_server_that_never_comes_up_is_put_back() -> None:
    at = world(service(A, B), alive={A, B})
    with pytest.raises(WebstackError) as caught:
        apply(service(C, B), at)
    assert caught.value.message == (
        f"The change of web failed: server web-01 ({C}) is DOWN after 5 s (last check: L4CON)."
        " The former addresses and the former file were put back."
        " Next: correct the cause and run the playbook again."
    )
    assert caught.value.data == {"restored": True}
    assert_settled(at, service(A, B))
    assert at.lost == []


def test_the_servers_moved_before_it_are_put_back_too() -> None:
    at = world(service(A, B), alive={A, B, C})
    with pytest.raises(WebstackError, match="server web-02"):
        apply(service(C, D), at)
    assert_settled(at, service(A, B))
    assert at.lost == []


def test_a_new_server_takes_no_reload() -> None:
    at = world(service(A, B))
    assert apply(service(A, B, C), at) == "runtime"
    assert "reload" not in at.steps
    assert_settled(at, service(A, B, C))


@pytest.mark.parametrize("balance", ["source", "roundrobin"])
def test_a_backend_that_takes_no_servers_at_runtime_is_reloaded(balance: str) -> None:
    at = world(service(A, B, balance=balance))
    at.dynamic = False
    apply(service(A, B, C, balance=balance), at)
    assert at.steps.count("reload") == 1
    assert_settled(at, service(A, B, C, balance=balance))


def test_a_reload_for_an_option_begins_with_the_servers_that_are_proven() -> None:
    at = world(service(A, B), alive={A, B, D})
    apply(service(A, B, D, balance="leastconn"), at)
    steps = [step for step in at.steps if step != "note"]
    assert steps.index("reload") < steps.index("web/web-03 ready")
    assert_settled(at, service(A, B, D, balance="leastconn"))
    assert at.lost == []


def test_a_reload_remembers_who_was_down_and_who_was_drained_by_hand() -> None:
    at = world(service(A, B, C), alive={A, C})
    at.servers_by_name["web-01"] = running(service(A).servers[0], admin="drain", checked=True)  # type: ignore[index]
    apply(service(A, B, C, balance="leastconn"), at)
    after = at.steps[at.steps.index("reload") :]
    assert after[1:3] == ["web/web-01 drain", "web/web-02 health down"]
    assert state(at)["web-01"] == (A, "drain")


def test_a_reload_that_fails_puts_the_file_back() -> None:
    at = world(service(A, B))
    at.reload_works = False
    with pytest.raises(WebstackError, match=r"Job for haproxy\.service failed\. Putting the former state back failed"):
        apply(service(A, B, balance="leastconn"), at)
    assert at.file == render(service(A, B))
    assert at.journal is not None
    at.reload_works = True
    apply(service(A, B), at)
    assert_settled(at, service(A, B))


def test_an_added_server_that_never_comes_up_goes_again() -> None:
    at = world(service(A, B), alive={A, B})
    with pytest.raises(WebstackError, match="were put back"):
        apply(service(A, B, C), at)
    assert_settled(at, service(A, B))


def test_a_first_service_that_fails_leaves_no_file() -> None:
    at = World(alive=())
    with pytest.raises(WebstackError, match="were put back"):
        apply(service(A), at)
    assert at.file is None
    assert at.servers("web") is None


def test_a_haproxy_that_does_not_read_the_directory_is_named() -> None:
    at = world(service(A, B))
    at.file, at.servers_by_name = None, None

    def reload() -> None:
        at.running_pid = 2

    at.reload = reload  # type: ignore[method-assign]
    with pytest.raises(WebstackError, match=r"it does not read /etc/haproxy/conf\.d/web\.cfg"):
        apply(service(A), at)


CHANGES = {
    "moved": (service(A, B), service(C, B)),
    "both moved": (service(A, B), service(C, D)),
    "swapped": (service(A, B, C), service(B, A, C)),
    "added": (service(A, B), service(A, B, C)),
    "removed": (service(A, B, C), service(A, C)),
    "moved and added": (service(A, B), service(D, B, C)),
    "option": (service(A, B), service(A, B, balance="leastconn")),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("then", ["forward", "back"])
def test_dying_at_any_step_converges_at_the_next_run(change: str, then: str) -> None:
    before, after = CHANGES[change]
    for step in range(80):
        at = world(before)
        at.die_at = step
        with contextlib.suppress(Killed):
            apply(after, at)
            at.die_at = -1
        finished = at.die_at < 0
        at.die_at = -1
        wanted = after if then == "forward" else before
        apply(wanted, at)
        assert_settled(at, wanted)
        assert at.lost == []
        assert apply(wanted, at) == "none"
        if finished:
            assert step > 3
            return
    pytest.fail("more steps than expected")


@pytest.mark.parametrize("change", CHANGES)
def test_a_reload_by_somebody_else_at_any_step_is_made_up_for(change: str) -> None:
    before, after = CHANGES[change]
    for step in range(1, 80):
        at = world(before)
        at.reload_at = step
        apply(after, at)
        assert_settled(at, after)
        if at.reload_at > 0:
            return
    pytest.fail("more steps than expected")


@pytest.mark.parametrize("change", CHANGES)
def test_a_failure_at_any_step_puts_everything_back(change: str) -> None:
    before, after = CHANGES[change]
    for step in range(1, 80):
        at = world(before)
        at.fail_at = step
        failed = ""
        try:
            apply(after, at)
        except WebstackError as error:
            failed = error.message
        if not failed:
            assert_settled(at, after)
            return
        # The last step takes the journal away: by then everything is done.
        if at.steps[step] != "end":
            assert "were put back" in failed
            assert_settled(at, before)
            assert at.lost == []
    pytest.fail("more steps than expected")
