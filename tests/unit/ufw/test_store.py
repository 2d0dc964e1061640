from __future__ import annotations

import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import Rule
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import (
    Stored,
    parse_rules_file,
    read_rule,
    read_rules,
    store_rule,
)

Text = t.Callable[[str], str]
FAMILY_FILES = [(4, "user.rules"), (6, "user6.rules")]


@pytest.mark.parametrize(("family", "name"), FAMILY_FILES)
def test_what_ufw_wrote_is_rendered_to_the_byte(
    family: int, name: str, saved: Text, saved_rules: tuple[Rule, ...]
) -> None:
    text = saved(name)
    file = parse_rules_file(text)
    assert file.render() == text
    assert file.stored == tuple(store_rule(rule=rule, family=family) for rule in saved_rules if family in rule.families)


@pytest.mark.parametrize("name", ["user.rules", "user6.rules"])
def test_the_files_of_the_package_take_rules(name: str, saved: Text) -> None:
    file = parse_rules_file(saved(f"{name}.pristine"))
    assert file.stored == ()
    assert "### RULES ###\n\n### END RULES ###\n" in file.render()
    assert file.render().endswith("COMMIT\n")
    assert parse_rules_file(file.render()) == file


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        (Rule("deny"), ["-A ufw-user-input -j DROP"]),
        (
            Rule("reject", proto="tcp", port="25"),
            ["-A ufw-user-input -p tcp --dport 25 -j REJECT --reject-with tcp-reset"],
        ),
        (
            Rule("reject", port="25"),
            [
                "-A ufw-user-input -p tcp --dport 25 -j REJECT --reject-with tcp-reset",
                "-A ufw-user-input -p udp --dport 25 -j REJECT",
            ],
        ),
        (
            Rule("allow", direction="out", proto="tcp", port="80,443", destination="192.0.2.0/24", interface="eth0"),
            ["-A ufw-user-output -o eth0 -p tcp -m multiport --dports 80,443 -d 192.0.2.0/24 -j ACCEPT"],
        ),
        (
            Rule("allow", proto="tcp", port="80", source="192.0.2.1", destination="192.0.2.2"),
            ["-A ufw-user-input -p tcp -d 192.0.2.2 --dport 80 -s 192.0.2.1 -j ACCEPT"],
        ),
    ],
)
def test_rules_become_the_lines_that_ufw_would_write(rule: Rule, lines: list[str]) -> None:
    assert list(store_rule(rule=rule, family=4).iptables) == lines


def test_a_stored_rule_reads_back(saved_rules: tuple[Rule, ...]) -> None:
    for rule in saved_rules:
        for family in rule.families:
            assert read_rule(stored=store_rule(rule=rule, family=family), family=family) == rule


@pytest.mark.parametrize(
    "line",
    [
        "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in",
        "route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_eth0!out_eth1",
        "allow_log tcp 22 0.0.0.0/0 any 0.0.0.0/0 in",
        "allow tcp 22 0.0.0.0/0 1024 0.0.0.0/0 in",
    ],
)
def test_what_users_cannot_write_is_kept_apart(line: str) -> None:
    stored = Stored(tuple_line=line, iptables=())
    assert read_rule(stored=stored, family=4) is None
    assert read_rules(stored={4: [stored]}) == ([], [f"{line} (IPv4)"])


def test_both_files_read_as_one_list(saved: Text, saved_rules: tuple[Rule, ...]) -> None:
    both = {family: parse_rules_file(saved(name)).stored for family, name in FAMILY_FILES}
    rules, others = read_rules(stored=both)
    assert others == []
    assert sorted(map(str, rules)) == sorted(map(str, saved_rules))


def test_a_rule_of_one_version_says_so() -> None:
    rule = Rule("allow", proto="tcp", port="80")
    rules, _others = read_rules(stored={4: [], 6: [store_rule(rule=rule, family=6)]})
    assert [found.as_text() for found in rules] == ["allow from ::/0 to any port 80 proto tcp"]
    assert store_rule(rule=rules[0], family=6) == store_rule(rule=rule, family=6)
