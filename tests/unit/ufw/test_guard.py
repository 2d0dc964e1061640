from __future__ import annotations

import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.guard import (
    guard_rules,
    insert_guard,
    strip_guard,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.guard import (
    testable as as_testable,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.live import (
    jump_repair,
    live_problems,
    parse_live,
    wanted_jumps,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import parse_rules_file

Text = t.Callable[[str], str]
FILES = [(4, "before.rules", "iptables-S"), (6, "before6.rules", "ip6tables-S")]
POLICIES = {"input": "deny", "output": "allow", "forward": "deny"}


def problems_of(*, live: str, family: int, saved: Text) -> list[str]:
    name = "user.rules" if family == 4 else "user6.rules"
    return live_problems(
        live=parse_live(live),
        family=family,
        guard=guard_rules(family=family, ports=[22], networks=[]),
        policies=POLICIES,
        user_rules=[line for item in parse_rules_file(saved(name)).stored for line in item.iptables],
    )


@pytest.mark.parametrize(("family", "name", "_live"), FILES)
def test_the_guard_comes_first_in_the_file_of_the_package(family: int, name: str, _live: str, saved: Text) -> None:
    pristine = saved(f"{name}.pristine")
    rules = guard_rules(family=family, ports=[22], networks=[])
    guarded = insert_guard(text=pristine, family=family, rules=rules)
    assert guarded == saved(name)
    assert [line for line in guarded.splitlines() if line.startswith("-A")][: len(rules)] == rules
    assert strip_guard(guarded) == pristine
    assert insert_guard(text=guarded, family=family, rules=rules) == guarded


def test_a_guard_that_was_moved_or_torn_is_put_right(saved: Text) -> None:
    rules = guard_rules(family=4, ports=[22], networks=[])
    guarded = insert_guard(text=saved("before.rules.pristine"), family=4, rules=rules)
    behind = guarded.replace("# End required lines\n", "# End required lines\n-A ufw-before-input -p tcp -j DROP\n")
    fixed = insert_guard(text=behind, family=4, rules=rules)
    assert next(line for line in fixed.splitlines() if line.startswith("-A")) == rules[0]
    torn = guarded.replace("# END phoenix.webstack SSH guard\n", "")
    assert insert_guard(text=torn, family=4, rules=rules) == guarded


def test_tables_ahead_of_the_filter_table_are_left_alone() -> None:
    nat = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
    text = f"{nat}*filter\n:ufw-before-input - [0:0]\nCOMMIT\n"
    lines = insert_guard(text=text, family=4, rules=["-A guard"]).splitlines()
    assert lines[:6] == text.splitlines()[:6]
    assert lines[6].startswith("# BEGIN")


def test_a_file_without_filter_table_is_refused() -> None:
    with pytest.raises(WebstackError, match=r"before6\.rules has no filter table"):
        insert_guard(text="# empty\n", family=6, rules=[])


def test_the_guard_opens_every_port_to_the_admins_of_its_version() -> None:
    networks = ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"]
    rules = guard_rules(family=4, ports=[22, 2222], networks=networks)
    assert len(rules) == 8
    assert rules[0] == (
        "-A ufw-before-input -s 192.0.2.0/24 -p tcp -m tcp --dport 22 -m comment --comment webstack-ssh-guard -j ACCEPT"
    )
    assert rules[-1] == (
        "-A ufw-before-output -d 198.51.100.7/32 -p tcp -m tcp --sport 2222 "
        "-m comment --comment webstack-ssh-guard -j ACCEPT"
    )
    assert len(guard_rules(family=6, ports=[22], networks=networks)) == 2
    assert guard_rules(family=6, ports=[22], networks=["192.0.2.0/24"]) == []


def test_all_of_a_version_is_spelt_as_the_kernel_does() -> None:
    assert " -s " not in guard_rules(family=4, ports=[22], networks=["0.0.0.0/0"])[0]


def test_the_helper_chains_are_declared_for_the_test_only(saved: Text) -> None:
    text = as_testable(text=saved("before.rules"), family=4)
    assert text.count(":ufw-logging-deny - [0:0]\n") == 1
    assert text.count(":ufw-before-input - [0:0]\n") == 1


@pytest.mark.parametrize(("family", "_name", "live"), FILES)
def test_a_sound_kernel_has_no_problems(family: int, _name: str, live: str, saved: Text) -> None:
    assert problems_of(live=saved(live), family=family, saved=saved) == []
    assert jump_repair(live=parse_live(saved(live)), family=family) == ""


@pytest.mark.parametrize(
    ("lost", "problem"),
    [
        ("-A INPUT -j ufw-before-input\n", "IPv4: INPUT does not lead into ufw's chains in ufw's order"),
        ("-P INPUT DROP\n", "IPv4: the policy of INPUT is None, not DROP"),
        ("-A ufw-before-input -j ufw-user-input\n", "IPv4: ufw-before-input does not lead into ufw-user-input"),
        ("-A ufw-user-input -s 198.51.100.7/32 -j DROP\n", "IPv4: ufw-user-input holds 8 rules, not 9"),
        (
            "-A ufw-before-input -p tcp -m tcp --dport 22 -m comment --comment webstack-ssh-guard -j ACCEPT\n",
            "IPv4: the SSH guard does not stand first in ufw-before-input",
        ),
    ],
)
def test_what_the_kernel_lost_is_named(lost: str, problem: str, saved: Text) -> None:
    live = saved("iptables-S")
    assert lost in live
    assert problems_of(live=live.replace(lost, ""), family=4, saved=saved) == [problem]


def test_a_rule_ahead_of_the_guard_is_noticed(saved: Text) -> None:
    first = "-A ufw-before-input -p tcp -m tcp --dport 22"
    live = saved("iptables-S").replace(first, f"-A ufw-before-input -j DROP\n{first}", 1)
    assert problems_of(live=live, family=4, saved=saved) == [
        "IPv4: the SSH guard does not stand first in ufw-before-input"
    ]


def test_lost_jumps_are_put_back_in_one_transaction(saved: Text) -> None:
    live = saved("iptables-S").replace("-A INPUT -j ufw-before-input\n", "")
    repair = jump_repair(live=parse_live(live), family=4).splitlines()
    assert repair[0] == "*filter"
    assert repair[1:6] == [
        "-D" + line[2:] for line in wanted_jumps(family=4, way="input") if "-j ufw-before-input" not in line
    ]
    assert repair[6:12] == wanted_jumps(family=4, way="input")
    assert repair[12:] == ["COMMIT"]
