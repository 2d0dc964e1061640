"""SSH ahead of everything else in every hook: which rules, in which chains, and how they get there."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.firewall import (
    Chain,
    Rule,
    comments,
    hold_script,
    is_held,
    legacy_rules,
    parse_ruleset,
    release_script,
    wanted_rules,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

RULESET = pathlib.Path(__file__).parents[1] / "fixtures" / "nft" / "ufw-1.1.3.json"
ANYWHERE = Settings(accounts=("admin",))
ADMINS = Settings(accounts=("admin",), admin_cidrs=("192.0.2.0/24",), ports=(22, 2222))
INPUT = Chain(family="inet", table="evil", name="in", kind="filter", hook="input", priority=-10, policy="drop")


def test_the_chains_of_a_real_ruleset() -> None:
    chains = parse_ruleset(RULESET.read_text(encoding="utf-8"))
    assert {(chain.family, chain.hook) for chain in chains} == {
        (family, hook) for family in ("ip", "ip6") for hook in ("input", "output", "forward")
    }
    (found,) = [chain for chain in chains if (chain.family, chain.hook) == ("ip", "input")]
    assert found.policy == "drop"
    assert found.rules[0].ours
    assert not any(rule.ours for rule in found.rules[1:])
    assert is_held(chain=found, rules=wanted_rules(chain=found, settings=ANYWHERE))
    assert not is_held(chain=found, rules=wanted_rules(chain=found, settings=ADMINS))


def test_a_chain_that_another_rule_leads_is_not_held() -> None:
    rules = wanted_rules(chain=INPUT, settings=ANYWHERE)
    ours = tuple(Rule(handle, comment) for handle, comment in enumerate(comments(rules), start=2))
    assert is_held(chain=dataclasses.replace(INPUT, rules=ours), rules=rules)
    assert not is_held(chain=dataclasses.replace(INPUT, rules=(Rule(9, ""), *ours)), rules=rules)
    assert not is_held(chain=dataclasses.replace(INPUT, rules=ours[:-1]), rules=rules)


def test_only_an_empty_chain_that_accepts_is_harmless() -> None:
    accepting = dataclasses.replace(INPUT, policy="accept")
    assert accepting.harmless
    assert not INPUT.harmless
    assert not dataclasses.replace(accepting, rules=(Rule(1, ""),)).harmless
    assert dataclasses.replace(accepting, rules=(Rule(1, "ssh-lifeline 0"),)).harmless


@pytest.mark.parametrize(
    ("family", "kind", "hook", "expected"),
    [
        ("ip", "filter", "input", ["tcp dport 22 accept"]),
        ("ip", "filter", "postrouting", ["tcp sport 22 accept"]),
        ("ip", "nat", "prerouting", ["tcp dport 22 accept"]),
        ("ip", "nat", "postrouting", []),
        ("ip", "filter", "forward", []),
        ("bridge", "filter", "input", []),
        ("arp", "filter", "input", ["arp operation request accept", "arp operation reply accept"]),
    ],
)
def test_rules_by_chain(family: str, kind: str, hook: str, expected: list[str]) -> None:
    chain = dataclasses.replace(INPUT, family=family, kind=kind, hook=hook)
    assert wanted_rules(chain=chain, settings=ANYWHERE) == expected


def test_ipv6_needs_its_neighbours_as_well() -> None:
    rules = wanted_rules(chain=dataclasses.replace(INPUT, family="ip6"), settings=ANYWHERE)
    assert rules[0] == "tcp dport 22 accept"
    assert {rule.split()[2] for rule in rules[1:]} >= {"nd-neighbor-solicit", "nd-neighbor-advert"}


def test_the_admins_networks_and_nobody_else() -> None:
    assert wanted_rules(chain=INPUT, settings=ADMINS) == [
        "ip saddr 192.0.2.0/24 tcp dport 22 accept",
        "ip saddr 192.0.2.0/24 tcp dport 2222 accept",
    ]
    # No admin comes over IPv6, so nothing is opened there.
    assert wanted_rules(chain=dataclasses.replace(INPUT, family="ip6"), settings=ADMINS) == []


def test_the_script_replaces_what_is_ours_in_the_order_of_the_rules() -> None:
    chain = dataclasses.replace(INPUT, rules=(Rule(7, ""), Rule(8, "ssh-lifeline old")))
    rules = wanted_rules(chain=chain, settings=ADMINS)
    first, second = comments(rules)
    assert hold_script(chain=chain, rules=rules) == (
        "delete rule inet evil in handle 8\n"
        f'insert rule inet evil in {rules[1]} comment "{second}"\n'
        f'insert rule inet evil in {rules[0]} comment "{first}"\n'
    )
    assert release_script([chain]) == "delete rule inet evil in handle 8\n"


def test_the_older_iptables_gets_the_same() -> None:
    (rule,) = legacy_rules(inward=True, version=4, translates=False, settings=ANYWHERE)
    assert " ".join(rule) == "-p tcp -m tcp --dport 22 -m comment --comment ssh-lifeline -j ACCEPT"
    assert len(legacy_rules(inward=False, version=6, translates=False, settings=ANYWHERE)) == 5
    assert len(legacy_rules(inward=False, version=6, translates=True, settings=ANYWHERE)) == 1
    assert legacy_rules(inward=True, version=6, translates=False, settings=ADMINS) == []
