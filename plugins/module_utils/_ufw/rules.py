# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A firewall rule as users write it, checked and brought into its one normal form."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
import typing as t

ANY = "any"
ACTIONS = ("allow", "deny", "reject", "limit")
DIRECTIONS = ("in", "out")
PROTOCOLS = ("tcp", "udp", ANY)
KEYS = ("rule", "direction", "proto", "port", "from", "to", "interface", "comment")
FAMILIES = (4, 6)
# iptables' multiport match takes 15 numbers; a range counts as two.
MAX_PORT_SEPARATORS = 14
MAX_PORT = 65535
INTERFACE = re.compile(r"[A-Za-z0-9_.+,=%@-]{1,15}")

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Parsed = t.TypeVar("Parsed")


@dataclasses.dataclass(frozen=True)
class Problem:
    """Why the firewall that is asked for is refused: what is wrong, and what to write instead."""

    what: str
    remedy: str


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule in normal form: ports sorted, networks canonical, ``any`` for what is not restricted."""

    action: str
    direction: str = "in"
    proto: str = ANY
    port: str = ANY
    source: str = ANY
    destination: str = ANY
    interface: str = ""
    comment: str = ""

    @property
    def families(self) -> tuple[int, ...]:
        """The IP versions the rule applies to."""
        versions = {ipaddress.ip_network(end).version for end in (self.source, self.destination) if end != ANY}
        return tuple(versions) or FAMILIES

    @property
    def match(self) -> tuple[str, ...]:
        """What the rule matches: two rules alike in this cannot both have an effect."""
        return (self.direction, self.proto, self.port, self.source, self.destination, self.interface)

    def as_dict(self) -> dict[str, str]:
        """Return the rule as users write it, without what is default."""
        shape = {"rule": self.action}
        shape.update({"direction": self.direction} if self.direction != "in" else {})
        # With a port the default is tcp, so anything else is said.
        shape.update({"proto": self.proto} if self.proto != _default_proto(port=self.port) else {})
        for key, value in (("port", self.port), ("from", self.source), ("to", self.destination)):
            shape.update({key: value} if value != ANY else {})
        for key, value in (("interface", self.interface), ("comment", self.comment)):
            shape.update({key: value} if value else {})
        return shape

    def as_text(self) -> str:
        """Return the rule as it would be typed after ``ufw``, without its comment."""
        if self.port != ANY and self.source == self.destination == ANY and not self.interface:
            end = self.port if self.proto == ANY else f"{self.port}/{self.proto}"
            return " ".join([self.action, *(["out"] if self.direction == "out" else []), end])
        words = [self.action]
        if self.interface:
            words += [self.direction, "on", self.interface]
        elif self.direction == "out":
            words += ["out"]
        if self.source != ANY:
            words += ["from", self.source]
        if self.destination != ANY or self.port != ANY or (self.source == ANY and not self.interface):
            words += ["to", self.destination]
        words += ["port", self.port] if self.port != ANY else []
        words += ["proto", self.proto] if self.proto != ANY else []
        return " ".join(words)


@dataclasses.dataclass(frozen=True)
class LabelledRule:
    """A rule and the place it was written at, such as ``ufw_rules[2]``."""

    label: str
    rule: Rule


def _default_proto(*, port: str) -> str:
    return ANY if port == ANY else "tcp"


def parse_network(text: str) -> Network:
    """Parse an address or a network in CIDR notation.

    :raises ValueError: with a sentence that says what is wrong.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        try:
            loose = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"`{text}` is neither an IP address nor a network in CIDR notation") from None
        host = text.partition("/")[0]
        raise ValueError(f"`{text}` is no network: write {loose} for the network, or {host} for the one host") from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        raise ValueError(f"`{text}` is an IPv4 address in IPv6 notation: write it as IPv4")
    return network


def network_text(network: Network) -> str:
    """Return a network as ufw stores it: a single address goes without its prefix length."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def parse_ports(text: str) -> str:
    """Return ``443,80`` or ``6000:6010`` in normal form.

    :raises ValueError: with a sentence that says what is wrong.
    """
    ranges: list[tuple[int, ...]] = []
    for part in text.split(","):
        if not re.fullmatch(r"[0-9]+(:[0-9]+)?", part.strip()):
            raise ValueError(f"`{text}` is no port: write a number, a list as 80,443 or a range as 6000:6010")
        numbers = tuple(int(number) for number in part.split(":"))
        if not all(1 <= number <= MAX_PORT for number in numbers):
            raise ValueError(f"`{text}` holds a number that is not between 1 and {MAX_PORT}")
        if len(numbers) > 1 and numbers[0] >= numbers[1]:
            raise ValueError(f"`{text}` holds a range that does not rise")
        ranges.append(numbers)
    normal = ",".join(":".join(map(str, numbers)) for numbers in sorted(set(ranges)))
    if normal.count(",") + normal.count(":") > MAX_PORT_SEPARATORS:
        raise ValueError(f"`{text}` holds more ports than one rule can take (15, a range counts as two)")
    return normal


def parse_rules(*, name: str, items: t.Sequence[t.Any]) -> tuple[list[LabelledRule], list[Problem]]:
    """Check a list of rules as users write them; return the good ones and every problem of the others.

    :arg name: The variable the list comes from; it is what the problems name.
    """
    rules: list[LabelledRule] = []
    problems: list[Problem] = []
    for index, item in enumerate(items):
        label = f"{name}[{index}]"
        rule, found = _parse_rule(label=label, item=item)
        problems += found
        if rule and not found:
            rules.append(LabelledRule(label=label, rule=rule))
    return rules, problems


def _parse_rule(*, label: str, item: object) -> tuple[Rule | None, list[Problem]]:
    if not isinstance(item, dict):
        return None, [Problem(f"{label} is no rule", f"Write a mapping with the keys {', '.join(KEYS)}.")]
    problems = [_unknown_key(label=label, key=str(key)) for key in item if key not in KEYS]
    values = {key: str(item[key]).strip() for key in KEYS if item.get(key) is not None}
    problems += _check_choices(label=label, values=values)
    ends: dict[str, str] = {}
    for key, parse in (("port", parse_ports), ("from", _parse_end), ("to", _parse_end)):
        value = values.get(key) or ANY
        parsed, wrong = (ANY, "") if value == ANY else _try(parse, value)
        ends[key] = parsed or ANY
        problems += [Problem(f"{label}: {key} {wrong}", "Correct it.")] if wrong else []
    rule = Rule(
        action=values.get("rule", ""),
        direction=values.get("direction", "in"),
        proto=values.get("proto") or _default_proto(port=ends["port"]),
        port=ends["port"],
        source=ends["from"],
        destination=ends["to"],
        interface=values.get("interface", ""),
        comment=values.get("comment", ""),
    )
    return rule, problems + _check_whole(label=label, rule=rule)


def _parse_end(text: str) -> str:
    return network_text(parse_network(text))


def _unknown_key(*, label: str, key: str) -> Problem:
    close = difflib.get_close_matches(key, KEYS, n=1)
    hint = f"Did you mean `{close[0]}`?" if close else f"A rule has the keys {', '.join(KEYS)}."
    return Problem(f"{label} has the unknown key `{key}`", hint)


def _check_choices(*, label: str, values: t.Mapping[str, str]) -> list[Problem]:
    problems = []
    if not values.get("rule"):
        problems.append(Problem(f"{label} has no `rule`", f"Say one of {', '.join(ACTIONS)}."))
    for key, choices in (("rule", ACTIONS), ("direction", DIRECTIONS), ("proto", PROTOCOLS)):
        if values.get(key) and values[key] not in choices:
            problems.append(
                Problem(f"{label}: {key} `{values[key]}` does not exist", f"Say one of {', '.join(choices)}.")
            )
    if values.get("interface") and not INTERFACE.fullmatch(values["interface"]):
        problems.append(
            Problem(f"{label}: interface `{values['interface']}` is no name of an interface", "Correct it.")
        )
    if any(character in values.get("comment", "") for character in "'\n\r"):
        problems.append(Problem(f"{label}: the comment holds a quote or a line break", "ufw cannot store it; reword."))
    return problems


def _check_whole(*, label: str, rule: Rule) -> list[Problem]:
    problems = []
    ends = [end for end in (rule.source, rule.destination) if end != ANY]
    if len({ipaddress.ip_network(end).version for end in ends}) > 1:
        problems.append(Problem(f"{label}: `from` and `to` are of different IP versions", "Write two rules."))
    if rule.proto == ANY and ("," in rule.port or ":" in rule.port):
        problems.append(Problem(f"{label}: several ports need a protocol", "Set proto to tcp or udp."))
    return problems


def parse_networks(*, name: str, items: t.Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Check a list of networks; return the good ones in normal form and every problem of the others."""
    networks: list[str] = []
    problems: list[Problem] = []
    for index, item in enumerate(items):
        network, wrong = _try(parse_network, str(item).strip())
        if network is None:
            problems.append(Problem(f"{name}[{index}]: {wrong}", "Correct it."))
        else:
            networks.append(str(network))
    return list(dict.fromkeys(networks)), problems


def _try(parse: t.Callable[[str], Parsed], text: str) -> tuple[Parsed | None, str]:
    """Return what was parsed, or what is wrong with the text."""
    try:
        return parse(text), ""
    except ValueError as error:
        return None, str(error)


def merge_rules(labelled: t.Sequence[LabelledRule]) -> tuple[list[LabelledRule], list[Problem]]:
    """Drop repetitions (services ask for the same port) and refuse contradictions.

    Of two rules that match the same but decide differently only the first has an effect.
    """
    first: dict[tuple[str, ...], LabelledRule] = {}
    problems = []
    for item in labelled:
        known = first.setdefault(item.rule.match, item)
        if known.rule.action != item.rule.action:
            problems.append(
                Problem(
                    f"{item.label} `{item.rule.as_text()}` has no effect: "
                    f"{known.label} `{known.rule.as_text()}` decides first",
                    "Remove one of the two.",
                )
            )
    return list(first.values()), problems
