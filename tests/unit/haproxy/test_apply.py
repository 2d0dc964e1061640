"""Whatever is cut off, fails or dies: no dead server serves, and the next run ends where it should."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.apply import Transaction
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Service
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.plan import make_plan
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import render

from tests.unit.haproxy.world import Killed, World, running, service

A, B, C, D = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"


def world(now: Service, *, alive: t.Iterable[str] = (A, B, C, D)) -> World:
    made = World(alive=alive)
    made.file = render(now)
    made.servers_by_name = {
        server.name: running(server, checked=True, healthy=server.endpoint in made.alive) for server in now.servers
    }
    return made


def apply(wanted: Service, at: World) -> str:
    plan = make_plan(service=wanted, before_text=at.read(), runtime=at.servers("web"), pending=at.pending())
    Transaction(
        plan=plan,
        runtime=at,
        store=at,  # type: ignore[arg-type]
        reload=at.reload,
        timeout=5,
        clock=at.clock,
    ).run()
    return plan.way


def state(at: World) -> dict[str, tuple[str, str]]:
    return {name: (server.endpoint, server.admin) for name, server in (at.servers("web") or {}).items()}


def assert_settled(at: World, wanted: Service) -> None:
    assert at.file == render(wanted)
    assert state(at) == {server.name: (server.endpoint, "ready") for server in wanted.servers}
    assert at.journal is None


def test_a_new_address_is_drained_changed_checked_and_only_then_used() -> None:
    at = world(service(A, B))
    assert apply(service(C, B), at) == "runtime"
    assert at.steps == [
        "begin",
        "web/web-01 drain",
        f"web/web-01 addr {C}",
        "web/web-01 health down",
        "web/web-01 ready",
        "write",
        "end",
    ]
    assert_settled(at, service(C, B))
    assert at.lost == []


def test_the_only_healthy_server_is_not_drained() -> None:
    at = world(service(A, B), alive={A, C})
    apply(service(C, B), at)
    assert "web/web-01 drain" not in at.steps
    assert_settled(at, service(C, B))


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


def test_a_new_server_takes_a_reload() -> None:
    at = world(service(A, B))
    assert apply(service(A, B, C), at) == "reload"
    assert at.steps == ["begin", "write", "reload", "end"]
    assert_settled(at, service(A, B, C))


def test_a_reload_remembers_who_was_down_and_who_was_drained_by_hand() -> None:
    at = world(service(A, B), alive={A, C})
    at.servers_by_name["web-01"] = running(service(A).servers[0], admin="drain", checked=True)  # type: ignore[index]
    apply(service(A, B, C), at)
    assert at.steps == ["begin", "write", "reload", "web/web-01 drain", "web/web-02 health down", "end"]
    assert state(at)["web-01"] == (A, "drain")


def test_a_reload_that_fails_puts_the_file_back() -> None:
    at = world(service(A, B))
    at.reload_works = False
    with pytest.raises(WebstackError, match=r"Job for haproxy\.service failed\. Putting the former state back failed"):
        apply(service(A, B, C), at)
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
    for step in range(20):
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
def test_a_failure_at_any_step_puts_everything_back(change: str) -> None:
    before, after = CHANGES[change]
    for step in range(1, 20):
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
