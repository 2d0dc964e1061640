# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before anything is touched: rules that close SSH, and admin networks without the admin."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import (
    ANY,
    FAMILIES,
    LabelledRule,
    Network,
    Problem,
    Rule,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import EVERYWHERE

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.session import Session

ANYWHERE = "anywhere"


@dataclasses.dataclass(frozen=True)
class Probe:
    """New SSH connections that must get through: from where (a network, and in words), to which port."""

    network: Network
    origin: str
    port: int


def make_probes(*, ports: t.Sequence[int], networks: t.Sequence[str], session: Session | None) -> list[Probe]:
    """Return the connections to try a rule list with: the controller's own first, then every admin network."""
    origins = [(session.address, session.address)] if session else []
    origins += [(network, network) for network in networks]
    origins += [] if networks else [(EVERYWHERE[family], ANYWHERE) for family in FAMILIES]
    return [
        Probe(network=ipaddress.ip_network(network), origin=origin, port=port)
        for network, origin in origins
        for port in ports
    ]


def find_closing(*, rules: t.Sequence[LabelledRule], probes: t.Sequence[Probe]) -> list[Problem]:
    """Return a problem for every rule that is the first to match one of the probes and does not allow it.

    No match at all is fine: then the default policy decides, which the guard stands ahead of.
    """
    problems: dict[str, Problem] = {}
    for probe in probes:
        closing = _first_to_close(rules=rules, probe=probe)
        if closing and closing.label not in problems:
            problems[closing.label] = _closing_problem(closing=closing, probe=probe)
    return [problems[item.label] for item in rules if item.label in problems]


def _first_to_close(*, rules: t.Sequence[LabelledRule], probe: Probe) -> LabelledRule | None:
    for item in rules:
        rule = item.rule
        if not _concerns(rule=rule, probe=probe):
            continue
        covers = _covers(rule=rule, probe=probe)
        if rule.action == "allow":
            # An allow rule for one interface or one of the host's addresses leaves the others open to question.
            if covers and not rule.interface and rule.destination == ANY:
                return None
        elif covers or probe.origin != ANYWHERE:
            # Banning one address is no lockout while SSH is open to anywhere.
            return item
    return None


def _concerns(*, rule: Rule, probe: Probe) -> bool:
    """Whether a rule can match at least some of the probe's connections."""
    if rule.direction != "in" or rule.proto == "udp" or probe.network.version not in rule.families:
        return False
    if rule.port != ANY and not any(_in_range(part=part, port=probe.port) for part in rule.port.split(",")):
        return False
    return rule.source == ANY or ipaddress.ip_network(rule.source).overlaps(probe.network)


def _covers(*, rule: Rule, probe: Probe) -> bool:
    """Whether a rule that concerns the probe matches all of its connections."""
    if rule.source == ANY:
        return True
    network = ipaddress.ip_network(rule.source)
    return network.prefixlen <= probe.network.prefixlen


def _in_range(*, part: str, port: int) -> bool:
    low, _colon, high = part.partition(":")
    return int(low) <= port <= int(high or low)


def _closing_problem(*, closing: LabelledRule, probe: Probe) -> Problem:
    what = f"{closing.label} `{closing.rule.as_text()}` would close SSH (port {probe.port}, from {probe.origin})"
    if closing.rule.action == "limit":
        return Problem(
            f"{what} to whoever connects six times within 30 seconds, as a burst of Ansible runs does",
            "Write `allow` instead; ufw's limit would have no effect on SSH anyway, which the guard accepts first.",
        )
    return Problem(what, "Remove the rule, or narrow it so that it does not match the SSH connections of your admins.")


def check_controller(*, session: Session | None, networks: t.Sequence[str], ipv6: bool) -> list[Problem]:
    """Refuse what would cut off the very connection that this run uses."""
    if session is None:
        return []
    address = ipaddress.ip_address(session.address)
    if address.version == 6 and not ipv6:
        return [
            Problem(
                f"ufw_ipv6 is false, but this run is connected over IPv6 (from {address}) and would be cut off",
                "Set ufw_ipv6: true, or connect over IPv4.",
            )
        ]
    if networks and not any(address in ipaddress.ip_network(network) for network in networks):
        return [
            Problem(
                f"ssh_admin_cidrs ({', '.join(networks)}) does not include {address}, the address that this run is "
                "connected from, and would lock it out",
                f"Add {address} or its network to ssh_admin_cidrs, or run from one of the networks in it.",
            )
        ]
    return []


def check_families(*, rules: t.Sequence[LabelledRule], networks: t.Sequence[str], ipv6: bool) -> list[Problem]:
    """Refuse IPv6 addresses where IPv6 is switched off."""
    if ipv6:
        return []
    places = [f"{item.label} `{item.rule.as_text()}`" for item in rules if item.rule.families == (6,)]
    places += [f"ssh_admin_cidrs `{network}`" for network in networks if ipaddress.ip_network(network).version == 6]
    return [Problem(f"{place} is for IPv6, but ufw_ipv6 is false", "Set ufw_ipv6: true.") for place in places]


def refuse(problems: t.Sequence[Problem]) -> None:
    """Raise one error that names every problem, or return when there is none."""
    if not problems:
        return
    if len(problems) == 1:
        message = f"{problems[0].what}. Nothing was changed. {problems[0].remedy}"
    else:
        message = f"The firewall that is asked for has {len(problems)} problems. Nothing was changed."
        message += "".join(f"\n- {problem.what}. {problem.remedy}" for problem in problems)
    raise WebstackError(message, problems=[problem.what for problem in problems])
