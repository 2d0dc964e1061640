from __future__ import annotations

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import (
    LabelledRule,
    Rule,
    merge_rules,
    parse_networks,
    parse_ports,
    parse_rules,
)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"rule": "allow", "port": 80}, "allow 80/tcp"),
        ({"rule": "deny", "port": "22"}, "deny 22/tcp"),
        ({"rule": "allow", "port": "53", "proto": "any"}, "allow 53"),
        ({"rule": "allow", "port": "443,80,80"}, "allow 80,443/tcp"),
        ({"rule": "deny", "direction": "out", "port": 25}, "deny out 25/tcp"),
        ({"rule": "allow", "from": "10.0.0.0/8"}, "allow from 10.0.0.0/8"),
        ({"rule": "allow", "from": "10.0.0.1/32", "port": 80}, "allow from 10.0.0.1 to any port 80 proto tcp"),
        ({"rule": "reject", "from": "2001:DB8::/32"}, "reject from 2001:db8::/32"),
        ({"rule": "deny"}, "deny to any"),
        ({"rule": "allow", "interface": "eth0"}, "allow in on eth0"),
        (
            {"rule": "deny", "direction": "out", "interface": "eth0", "to": "192.0.2.1", "proto": "udp"},
            "deny out on eth0 to 192.0.2.1 proto udp",
        ),
        ({"rule": "allow", "to": "any", "from": None, "port": ""}, "allow to any"),
    ],
)
def test_a_rule_reads_as_it_would_be_typed(item: dict[str, object], text: str) -> None:
    rules, problems = parse_rules(name="ufw_rules", items=[item])
    assert problems == []
    assert rules[0].rule.as_text() == text


@pytest.mark.parametrize(
    "item",
    [
        {"rule": "allow", "port": "80"},
        {"rule": "allow", "port": "53", "proto": "any", "comment": "name service"},
        {"rule": "deny", "direction": "out", "port": "25", "to": "192.0.2.0/24"},
        {"rule": "limit", "from": "::/0", "interface": "eth0", "proto": "udp"},
        {"rule": "reject"},
    ],
)
def test_the_role_shape_is_what_users_write(item: dict[str, str]) -> None:
    rules, _problems = parse_rules(name="ufw_rules", items=[item])
    assert rules[0].rule.as_dict() == item


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("allow 80", "ufw_rules[0] is no rule"),
        ({"port": 80}, "ufw_rules[0] has no `rule`"),
        ({"rule": "permit"}, "ufw_rules[0]: rule `permit` does not exist"),
        ({"rule": "allow", "prot": "tcp"}, "ufw_rules[0] has the unknown key `prot`"),
        ({"rule": "allow", "direction": "both"}, "ufw_rules[0]: direction `both` does not exist"),
        ({"rule": "allow", "proto": "icmp"}, "ufw_rules[0]: proto `icmp` does not exist"),
        ({"rule": "allow", "interface": "eth0:1"}, "ufw_rules[0]: interface `eth0:1` is no name of an interface"),
        ({"rule": "allow", "comment": "don't"}, "ufw_rules[0]: the comment holds a quote or a line break"),
        ({"rule": "allow", "port": "80,443", "proto": "any"}, "ufw_rules[0]: several ports need a protocol"),
        (
            {"rule": "allow", "from": "10.0.0.0/8", "to": "::1"},
            "ufw_rules[0]: `from` and `to` are of different IP versions",
        ),
        (
            {"rule": "allow", "from": "10.0.0.5/24"},
            "ufw_rules[0]: from `10.0.0.5/24` is no network: write 10.0.0.0/24 for the network, "
            "or 10.0.0.5 for the one host",
        ),
        (
            {"rule": "allow", "to": "web-01"},
            "ufw_rules[0]: to `web-01` is neither an IP address nor a network in CIDR notation",
        ),
        (
            {"rule": "allow", "to": "::ffff:192.0.2.1"},
            "ufw_rules[0]: to `::ffff:192.0.2.1` is an IPv4 address in IPv6 notation: write it as IPv4",
        ),
    ],
)
def test_what_is_wrong_with_a_rule_is_named(item: object, problem: str) -> None:
    rules, problems = parse_rules(name="ufw_rules", items=[item])
    assert rules == []
    assert [found.what for found in problems] == [problem]


def test_all_problems_of_all_rules_are_named_at_once() -> None:
    items = [{"rule": "permit", "port": "x"}, {"rule": "allow", "port": 80}, {"prt": 1}]
    rules, problems = parse_rules(name="ufw_rules", items=items)
    assert [item.label for item in rules] == ["ufw_rules[1]"]
    assert len(problems) == 4


@pytest.mark.parametrize("text", ["0", "65536", "http", "80-90", "90:80", "80:", ",80", "80,,443", "1:2:3"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="`"):
        parse_ports(text)


def test_a_rule_takes_fifteen_ports() -> None:
    assert parse_ports(",".join(map(str, range(1, 16)))).count(",") == 14
    with pytest.raises(ValueError, match="more ports than one rule can take"):
        parse_ports(",".join(map(str, range(1, 17))))


def test_ports_are_sorted_by_number_as_ufw_does() -> None:
    assert parse_ports("8080,443,80,6000:6010") == "80,443,6000:6010,8080"


def test_networks_are_brought_into_one_form() -> None:
    networks, problems = parse_networks(name="ssh_admin_cidrs", items=["192.0.2.10", "192.0.2.10/32", "2001:DB8::/32"])
    assert networks == ["192.0.2.10/32", "2001:db8::/32"]
    assert problems == []


def test_a_misaligned_admin_network_is_named_with_its_place() -> None:
    _networks, problems = parse_networks(name="ssh_admin_cidrs", items=["10.0.0.0/8", "192.0.2.1/24"])
    assert problems[0].what.startswith("ssh_admin_cidrs[1]: `192.0.2.1/24` is no network")


def test_the_same_rule_twice_is_one_rule() -> None:
    first = LabelledRule("ufw_service_rules[0]", Rule("allow", proto="tcp", port="80", comment="nginx"))
    second = LabelledRule("ufw_rules[0]", Rule("allow", proto="tcp", port="80"))
    assert merge_rules([first, second]) == ([first], [])


def test_contradicting_rules_are_refused() -> None:
    first = LabelledRule("ufw_service_rules[0]", Rule("allow", proto="tcp", port="80"))
    second = LabelledRule("ufw_rules[0]", Rule("deny", proto="tcp", port="80"))
    _rules, problems = merge_rules([first, second])
    assert problems[0].what == (
        "ufw_rules[0] `deny 80/tcp` has no effect: ufw_service_rules[0] `allow 80/tcp` decides first"
    )
