# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ufw's own store of rules: the ``### tuple ###`` lines of user.rules and user6.rules.

A tuple line is what ufw reads; the iptables lines below it are what it writes for it, and what is loaded
into the kernel. Both are rendered here exactly as ufw 0.36 does, so that ufw's next rewrite of the file
changes nothing. That allows a whole list to be swapped in one atomic load, where one ``ufw`` call per
rule would leave half a firewall in between.
"""

from __future__ import annotations

import binascii
import dataclasses
import re
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import ACTIONS, ANY, FAMILIES, Rule

TUPLE = "### tuple ### "
RULES_BEGIN = "### RULES ###"
RULES_END = "### END RULES ###"
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
PREFIX = {4: "ufw", 6: "ufw6"}
# What a plain tuple has: action protocol dport destination sport source direction.
FIELDS = 7
TARGETS = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}
OWN_LINE = re.compile(r"-A ufw6?-user-(input|output|forward|logging-\w+) ")


@dataclasses.dataclass(frozen=True)
class Stored:
    """One stored rule: its tuple line (without the marker) and the iptables lines that belong to it."""

    tuple_line: str
    iptables: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class RulesFile:
    """user.rules or user6.rules, split at its rules section."""

    head: tuple[str, ...]
    stored: tuple[Stored, ...]
    tail: tuple[str, ...]

    def render(self) -> str:
        """Return the text of the file."""
        lines = list(self.head)
        for stored in self.stored:
            lines += ["", TUPLE + stored.tuple_line, *stored.iptables]
        return "\n".join([*lines, "", RULES_END, *self.tail]) + "\n"


def parse_rules_file(text: str) -> RulesFile:
    """Parse user.rules or user6.rules.

    The file a package brings has no end marker: what is no rule there belongs to the tail.
    """
    head: list[str] = []
    stored: list[Stored] = []
    tail: list[str] = []
    section = "head"
    for line in text.splitlines():
        if section == "head":
            head.append(line)
            section = "rules" if line == RULES_BEGIN else "head"
        elif section == "tail":
            tail.append(line)
        elif line == RULES_END:
            section = "tail"
        elif line.startswith(TUPLE):
            stored.append(Stored(tuple_line=line[len(TUPLE) :].strip(), iptables=()))
        elif stored and OWN_LINE.match(line):
            stored[-1] = dataclasses.replace(stored[-1], iptables=(*stored[-1].iptables, line))
        elif line:
            tail.append(line)
    return RulesFile(head=tuple(head), stored=tuple(stored), tail=tuple(tail))


def store_rule(*, rule: Rule, family: int) -> Stored:
    """Return a rule as ufw stores it for one IP version."""
    everywhere = EVERYWHERE[family]
    source = everywhere if rule.source == ANY else rule.source
    destination = everywhere if rule.destination == ANY else rule.destination
    place = f"{rule.direction}_{rule.interface}" if rule.interface else rule.direction
    words = [rule.action, rule.proto, rule.port, destination, ANY, source, place]
    if rule.comment:
        words.append("comment=" + binascii.hexlify(rule.comment.encode()).decode())
    return Stored(tuple_line=" ".join(words), iptables=tuple(_iptables_lines(rule=rule, family=family)))


def read_rule(*, stored: Stored, family: int) -> Rule | None:
    """Return a stored rule as users write it.

    None where it says more than that can: application profiles, routed rules, logging, source ports.
    """
    words, comment = stored.tuple_line, ""
    if " comment=" in words:
        words, encoded = words.split(" comment=", 1)
        comment = binascii.unhexlify(encoded.strip()).decode("utf-8", errors="replace")
    fields = words.split()
    if len(fields) != FIELDS or fields[0] not in ACTIONS or fields[4] != ANY or "!" in fields[6]:
        return None
    direction, _underscore, interface = fields[6].partition("_")
    return Rule(
        action=fields[0],
        direction=direction,
        proto=fields[1],
        port=fields[2],
        source=ANY if fields[5] == EVERYWHERE[family] else fields[5],
        destination=ANY if fields[3] == EVERYWHERE[family] else fields[3],
        interface=interface,
        comment=comment,
    )


def _iptables_lines(*, rule: Rule, family: int) -> list[str]:
    """Render what ufw writes below a tuple: udp and tcp apart where a port is given for any protocol."""
    both = ["tcp", "udp"] if rule.port != ANY else [""]
    protocols = both if rule.proto == ANY else [rule.proto]
    lines: list[str] = []
    for proto in protocols:
        match = _iptables_match(rule=rule, family=family, proto=proto)
        lines += [" ".join([*match, *end]) for end in _iptables_ends(rule=rule, family=family, proto=proto)]
    return lines


def _iptables_match(*, rule: Rule, family: int, proto: str) -> list[str]:
    chain = f"{PREFIX[family]}-user-{rule.direction}put"
    words = ["-A", chain]
    if rule.interface:
        words += ["-i" if rule.direction == "in" else "-o", rule.interface]
    words += ["-p", proto] if proto else []
    multiport = "," in rule.port or ":" in rule.port
    if multiport:
        words += ["-m", "multiport", "--dports", rule.port]
    if rule.destination not in (ANY, EVERYWHERE[family]):
        words += ["-d", rule.destination]
    if rule.port != ANY and not multiport:
        words += ["--dport", rule.port]
    if rule.source not in (ANY, EVERYWHERE[family]):
        words += ["-s", rule.source]
    return words


def _iptables_ends(*, rule: Rule, family: int, proto: str) -> list[list[str]]:
    if rule.action == "limit":
        new = ["-m", "conntrack", "--ctstate", "NEW", "-m", "recent"]
        limit = f"{PREFIX[family]}-user-limit"
        return [
            [*new, "--set"],
            [*new, "--update", "--seconds", "30", "--hitcount", "6", "-j", limit],
            ["-j", f"{limit}-accept"],
        ]
    reset = ["--reject-with", "tcp-reset"] if rule.action == "reject" and proto == "tcp" else []
    return [["-j", TARGETS[rule.action], *reset]]


def read_rules(*, stored: t.Mapping[int, t.Sequence[Stored]]) -> tuple[list[Rule], list[str]]:
    """Return what both files hold as users write it, and the text of the rules that cannot be written so.

    A rule without addresses that is in both files is one rule; one that is in only one of them gets its
    IP version by the network it is from (``0.0.0.0/0`` or ``::/0``).
    """
    rules: list[Rule] = []
    others: list[str] = []
    per_family = {
        family: [read_rule(stored=item, family=family) for item in stored.get(family, ())] for family in FAMILIES
    }
    for family in FAMILIES:
        other_family = per_family[10 - family]
        for item, rule in zip(stored.get(family, ()), per_family[family]):
            if rule is None:
                others.append(f"{item.tuple_line} (IPv{family})")
            elif rule.source != ANY or rule.destination != ANY:
                rules.append(rule)
            elif rule not in other_family:
                rules.append(dataclasses.replace(rule, source=EVERYWHERE[family]))
            elif family == FAMILIES[0]:
                rules.append(rule)
    return rules, others
