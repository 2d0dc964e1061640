from __future__ import annotations

import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.session import Session
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.checks import (
    check_controller,
    check_families,
    find_closing,
    make_probes,
    refuse,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import Problem, parse_rules

ADMIN = Session(address="192.0.2.10", server_address="192.0.2.1", server_port=22, source="environment")
ADMIN6 = Session(address="2001:db8::10", server_address="2001:db8::1", server_port=22, source="environment")


def closing(
    *items: t.Mapping[str, object], networks: tuple[str, ...] = (), session: Session | None = ADMIN, port: int = 22
) -> list[str]:
    rules, problems = parse_rules(name="ufw_rules", items=items)
    assert problems == []
    probes = make_probes(ports=[port], networks=networks, session=session)
    return [problem.what for problem in find_closing(rules=rules, probes=probes)]


@pytest.mark.parametrize(
    ("item", "text", "origin"),
    [
        ({"rule": "deny", "port": "22"}, "deny 22/tcp", "192.0.2.10"),
        ({"rule": "reject", "port": "20:30", "proto": "tcp"}, "reject 20:30/tcp", "192.0.2.10"),
        ({"rule": "deny"}, "deny to any", "192.0.2.10"),
        ({"rule": "deny", "from": "192.0.2.0/24"}, "deny from 192.0.2.0/24", "192.0.2.10"),
        ({"rule": "deny", "interface": "eth0", "port": 22}, "deny in on eth0 to any port 22 proto tcp", "192.0.2.10"),
        ({"rule": "deny", "from": "::/0"}, "deny from ::/0", "anywhere"),
    ],
)
def test_a_rule_that_closes_ssh_is_named(item: dict[str, object], text: str, origin: str) -> None:
    assert closing(item) == [f"ufw_rules[0] `{text}` would close SSH (port 22, from {origin})"]


@pytest.mark.parametrize(
    "item",
    [
        {"rule": "allow", "port": 22},
        {"rule": "deny", "port": 22, "proto": "udp"},
        {"rule": "deny", "port": 22, "direction": "out"},
        {"rule": "deny", "port": "23,80:90"},
        {"rule": "deny", "from": "203.0.113.66"},
        {"rule": "limit", "port": 80},
    ],
)
def test_other_rules_may_be(item: dict[str, object]) -> None:
    assert closing(item) == []


def test_the_first_match_decides() -> None:
    allow, deny = {"rule": "allow", "port": 22}, {"rule": "deny"}
    assert closing(allow, deny) == []
    assert len(closing(deny, allow)) == 1
    narrow = {"rule": "allow", "port": 22, "from": "192.0.2.10"}
    assert closing(narrow, deny) == ["ufw_rules[1] `deny to any` would close SSH (port 22, from anywhere)"]
    assert closing(narrow, deny, networks=("192.0.2.10/32",)) == []


def test_an_allow_rule_for_one_interface_proves_nothing() -> None:
    assert len(closing({"rule": "allow", "port": 22, "interface": "eth0"}, {"rule": "deny"})) == 1


def test_part_of_an_admin_network_counts() -> None:
    rule = {"rule": "deny", "from": "10.1.2.0/24"}
    assert closing(rule, networks=("10.0.0.0/8",), session=None) == [
        "ufw_rules[0] `deny from 10.1.2.0/24` would close SSH (port 22, from 10.0.0.0/8)"
    ]
    assert closing(rule, networks=("10.2.0.0/16",), session=None) == []


def test_limit_has_a_reason_of_its_own() -> None:
    assert "six times within 30 seconds" in closing({"rule": "limit", "port": 22})[0]


def test_ssh_on_another_port_is_what_counts() -> None:
    assert closing({"rule": "deny", "port": 22}, port=2222) == []
    assert "port 2222" in closing({"rule": "deny", "port": 2222}, port=2222)[0]


def test_an_unknown_controller_is_not_checked() -> None:
    assert check_controller(session=None, networks=["192.0.2.0/24"], ipv6=True) == []


def test_a_controller_outside_the_admin_networks_is_refused() -> None:
    assert check_controller(session=ADMIN, networks=["192.0.2.0/24"], ipv6=True) == []
    assert check_controller(session=ADMIN, networks=[], ipv6=True) == []
    problems = check_controller(session=ADMIN, networks=["198.51.100.0/24", "2001:db8::/32"], ipv6=True)
    assert problems[0].what == (
        "ssh_admin_cidrs (198.51.100.0/24, 2001:db8::/32) does not include 192.0.2.10, "
        "the address that this run is connected from, and would lock it out"
    )


def test_a_controller_on_ipv6_needs_it() -> None:
    problems = check_controller(session=ADMIN6, networks=[], ipv6=False)
    assert problems[0].what.startswith("ufw_ipv6 is false, but this run is connected over IPv6 (from 2001:db8::10)")


def test_ipv6_networks_need_ipv6() -> None:
    rules, _problems = parse_rules(name="ufw_rules", items=[{"rule": "allow", "from": "2001:db8::/32"}])
    problems = check_families(rules=rules, networks=["2001:db8::/32"], ipv6=False)
    assert [problem.what for problem in problems] == [
        "ufw_rules[0] `allow from 2001:db8::/32` is for IPv6, but ufw_ipv6 is false",
        "ssh_admin_cidrs `2001:db8::/32` is for IPv6, but ufw_ipv6 is false",
    ]
    assert check_families(rules=rules, networks=["2001:db8::/32"], ipv6=True) == []


def test_one_problem_is_a_sentence_and_several_are_a_list() -> None:
    refuse([])
    with pytest.raises(WebstackError) as one:
        refuse([Problem("A is wrong", "Do B.")])
    assert one.value.message == "A is wrong. Nothing was changed. Do B."
    with pytest.raises(WebstackError) as two:
        refuse([Problem("A is wrong", "Do B."), Problem("C is wrong", "Do D.")])
    assert two.value.message.splitlines() == [
        "The firewall that is asked for has 2 problems. Nothing was changed.",
        "- A is wrong. Do B.",
        "- C is wrong. Do D.",
    ]
    assert two.value.data == {"problems": ["A is wrong", "C is wrong"]}
