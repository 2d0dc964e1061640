"""The plan of a rebuild, and every reason to refuse one."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import method, plan

OLD, NEW = "192.0.2.11", "192.0.2.21"


def asked(**changes: t.Any) -> plan.Asked:
    request: dict[str, t.Any] = {
        "host": "web-01", "address": NEW, "service_address": NEW, "source": "", "in_place": False,
        "web_hosts": ["web-01", "web-02"], "balancers": ["lb-01"],
        "addresses": {"web-01": OLD, "web-02": "192.0.2.12"}, "databases": ["shop"],
    }  # fmt: skip
    return plan.Asked(**{**request, **changes})


def server(name: str, address: str, status: str = "UP") -> dict[str, t.Any]:
    up = status == "UP"
    return {"name": name, "addresses": [address, address], "status": status, "healthy": up, "serving": up}


def balancer(**status: str) -> dict[str, t.Any]:
    servers = [
        server("web-01", OLD, status.get("web_01", "DOWN")),
        server("web-02", "192.0.2.12", status.get("web_02", "UP")),
    ]
    return {"running": True, "servers": servers}


def probe(**changes: t.Any) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {
        "os": {"id": "debian", "version": "12"}, "disk_free_bytes": 50 << 30, "listeners": {"22": "sshd"},
        "database_server": {"engine": "", "version": "", "running": False}, "databases": {}, "restored": {},
        "cut_off": {},
    }  # fmt: skip
    return {**found, **changes}


def survivor(**changes: t.Any) -> dict[str, t.Any]:
    return probe(
        **{
            "database_server": {"engine": "mariadb", "version": "10.11.11", "running": True},
            "databases": {"shop": {"bytes": 1 << 30, "empty": False}},
            **changes,
        }
    )


def make_plan(request: plan.Asked, target: dict[str, t.Any]) -> plan.Plan:
    choice = method.Choice("physical", "same on both")
    balancers = {"lb-01": balancer()}
    return plan.make_plan(request, target=target, source="web-02", choice=choice, balancers=balancers, http_port=80)


def test_a_good_request_has_no_problem() -> None:
    assert plan.problems_of_request(asked()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"host": ""}, "No host was named. Say which server is lost: -e rebuild_host=web-01."),
        ({"host": "web-1"}, "`web-1` is no web server of the inventory (it has web-01, web-02). Did you mean web-01?"),
        ({"source": "db-01"}, "rebuild_source=`db-01` is no web server of the inventory."),
        ({"source": "web-01"}, "rebuild_source is the lost host web-01 itself"),
        ({"balancers": []}, "The inventory has no balancer"),
        ({"service_address": "192.0.2.12"}, "192.0.2.12 is the address of web-02, not of a replacement for web-01."),
        ({"service_address": "127.0.0.1"}, "127.0.0.1 cannot be a replacement's address"),
        ({"address": "a b"}, "`a b` (for the balancer `192.0.2.21`) is no address."),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(changes: dict[str, t.Any], said: str) -> None:
    assert any(problem.startswith(said) for problem in plan.problems_of_request(asked(**changes)))


def test_all_problems_of_a_request_are_told_at_once() -> None:
    assert len(plan.problems_of_request(asked(host="x", source="y", balancers=[], service_address="::1"))) == 4


def test_the_lost_host_is_never_contacted() -> None:
    lost = asked(address=OLD, service_address=OLD)
    (problem,) = plan.problems_before_contact(lost, balancers={"lb-01": balancer()}, earlier={})
    assert problem.startswith(f"{OLD} is where the balancer looks for web-01: that is the lost server")
    assert "-e rebuild_address=ADDRESS" in problem


def test_a_reinstalled_or_already_rebuilt_host_may_be_contacted() -> None:
    balancers = {"lb-01": balancer()}
    in_place = asked(address=OLD, service_address=OLD, in_place=True)
    again = asked(address=OLD, service_address=OLD)
    assert plan.problems_before_contact(in_place, balancers=balancers, earlier={}) == []
    assert plan.problems_before_contact(again, balancers=balancers, earlier={"address": OLD}) == []


def test_the_last_healthy_server_is_not_rebuilt() -> None:
    (problem,) = plan.problems_of_balancers(asked(), balancers={"lb-01": balancer(web_01="UP", web_02="DOWN")})
    assert problem.startswith("web-01 is the last healthy server behind lb-01")


def test_every_balancer_has_to_be_there() -> None:
    balancers: dict[str, dict[str, t.Any]] = {
        "lb-01": {"error": "SSH does not get in: timed out."},
        "lb-02": {"running": False, "servers": []},
    }
    first, second = plan.problems_of_balancers(asked(), balancers=balancers)
    assert first.startswith("Balancer lb-01: SSH does not get in: timed out. Every balancer is repointed, or none.")
    assert second.startswith("Balancer lb-02: HAProxy is not running.")


def test_the_first_whole_survivor_gives_the_data() -> None:
    request = asked(web_hosts=["web-01", "web-02", "web-03"])
    up = {"lb-01": {"running": True, "servers": [server("web-02", "a"), server("web-03", "b")]}}
    stopped = survivor(database_server={"engine": "mariadb", "version": "10.11.11", "running": False})
    assert plan.choose_source(request, sources={"web-02": stopped, "web-03": survivor()}, balancers=up) == (
        "web-03",
        [],
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"error": "SSH does not get in."}, "SSH does not get in."),
        (survivor(databases={}), "it has no database shop."),
        (survivor(database_server={"running": False}), "its database server is not running."),
    ],
)
def test_without_a_whole_survivor_every_fault_is_told(source: dict[str, t.Any], said: str) -> None:
    chosen, faults = plan.choose_source(asked(), sources={"web-02": source}, balancers={"lb-01": balancer()})
    assert chosen is None
    assert faults[0].startswith(f"web-02 cannot give the data: {said}")


def test_a_survivor_that_the_balancer_finds_down_gives_no_data() -> None:
    down = {"lb-01": balancer(web_02="DOWN")}
    assert plan.choose_source(asked(), sources={"web-02": survivor()}, balancers=down) == (
        None,
        ["web-02 cannot give the data: lb-01 does not find it healthy."],
    )


def problems_of_target(**target: t.Any) -> list[str]:
    return plan.problems_of_target(asked(), target=probe(**target), source=survivor(), engine="mariadb", http_port=80)


def test_a_bare_replacement_has_no_problem() -> None:
    assert problems_of_target() == []


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"os": {"id": "ubuntu", "version": "24.04"}}, "The replacement runs ubuntu 24.04"),
        ({"databases": {"shop": {"bytes": 9, "empty": False}}}, "The replacement already holds data: database shop"),
        ({"listeners": {"80": "apache2"}}, "Port 80 of the replacement is held by `apache2`."),
        ({"disk_free_bytes": 2 << 30}, "The replacement has 2.0 GiB free on /var/lib; 3.5 GiB are needed"),
    ],
)
def test_an_unfit_replacement_is_refused(target: dict[str, t.Any], said: str) -> None:
    (problem,) = problems_of_target(**target)
    assert problem.startswith(said)


def test_data_that_this_collection_restored_is_no_obstacle() -> None:
    held = {"shop": {"bytes": 9, "empty": False}, "other": {"bytes": 0, "empty": True}}
    assert problems_of_target(databases=held, restored={"shop": "dump-1"}) == []


def test_the_remains_of_a_restore_that_was_cut_off_are_no_obstacle_and_no_data() -> None:
    remains = {"databases": {"shop": {"bytes": 9, "empty": False}}, "cut_off": {"shop": "dump-1"}}
    assert problems_of_target(**remains) == []
    made = make_plan(asked(), probe(**remains))
    assert (made.source, made.databases) == ("web-02", ["shop"])


def test_the_engine_and_its_age_must_fit() -> None:
    mysql = survivor(database_server={"engine": "mysql", "version": "9.7.0", "running": True})
    newer = survivor(os={"id": "debian", "version": "13"})
    for source, said in ((mysql, "The source runs mysql"), (newer, "The source's Debian 13 has a newer MariaDB")):
        (problem,) = plan.problems_of_target(asked(), target=probe(), source=source, engine="mariadb", http_port=80)
        assert problem.startswith(said)


def test_the_plan_moves_only_what_is_not_in_place() -> None:
    request = asked(databases=["shop", "blog", "dropped"])
    restored = probe(restored={"shop": "d", "dropped": "d"}, databases={"shop": {"bytes": 9, "empty": False}})
    made = make_plan(request, restored)
    assert (made.old_address, made.address, made.source, made.databases) == (OLD, NEW, "web-02", ["blog", "dropped"])
    assert made.url == f"http://{NEW}:80"
    again = make_plan(asked(), restored)
    assert (again.source, again.method) == (None, None)


def test_the_plan_says_how_the_data_comes_and_why() -> None:
    lines = plan.describe(make_plan(asked(), probe()), fingerprint="SHA256:x", trusted_by="key")
    assert "  method     physical, a copy of the server's files (same on both)" in lines
    in_place = probe(restored={"shop": "d"}, databases={"shop": {"bytes": 9, "empty": False}})
    lines = plan.describe(make_plan(asked(), in_place), fingerprint="SHA256:x", trusted_by="key")
    assert not any("method" in line for line in lines)


def test_the_service_counts_only_at_the_new_address() -> None:
    moved = {"running": True, "servers": [server("web-01", NEW)]}
    half = {"running": True, "servers": [{**server("web-01", NEW), "addresses": [OLD, NEW]}]}
    down = {"running": True, "servers": [server("web-01", NEW, "DOWN")]}
    assert plan.problems_of_service(host="web-01", address=NEW, balancers={"lb-01": moved}) == []
    for found, said in ((half, "points at"), (down, "not UP"), ({"servers": []}, "has no server web-01")):
        (problem,) = plan.problems_of_service(host="web-01", address=NEW, balancers={"lb-01": found})
        assert said in problem


def test_what_a_balancer_showed_is_brought_into_form() -> None:
    shown = {"name": "web-01", "file_address": "192.0.2.11:80", "runtime_address": "[2001:db8::1]:80",
             "healthy": True, "serving": False, "status": None}  # fmt: skip
    found = plan.balancer_of({"running": True, "backends": [{"servers": [shown]}]})
    assert found["servers"][0] == {
        "name": "web-01", "addresses": ["192.0.2.11", "2001:db8::1"], "healthy": True, "serving": False,
        "status": "unknown",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("registered", "said"),
    [
        ({"unreachable": True, "msg": "timed out"}, "SSH does not get in: timed out."),
        ({"failed": True, "msg": "Missing sudo password"}, "could not be looked at: Missing sudo password."),
        ({}, "could not be looked at: it was not asked."),
    ],
)
def test_a_host_that_could_not_be_asked_says_why(registered: dict[str, t.Any], said: str) -> None:
    assert plan.balancer_of(registered) == plan.probe_of(registered) == {"error": said}
