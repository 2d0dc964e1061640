# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's IPsec policies, by which SSH vanishes ahead of every rule of the packet filter.

A policy that wants packets encrypted for which no key was agreed on lets none through, and one that blocks says so.
They are not removed: whatever else they protect would be open then. SSH is let through ahead of them, and so is what
neighbours ask each other in IPv6.

What is let through ahead of a policy may not come encrypted any more. So this is only for policies that were not there
when a login last worked, and only as long as no key was agreed on: admins may well come by a tunnel.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
import re
import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

ANY = {4: "0.0.0.0/0", 6: "::/0"}
NEIGHBOUR_TYPES = (133, 134, 135, 136)  # of ICMPv6: routers and neighbours, asking and answering
# Of two policies with the same priority the older one counts, so a stranger's must not have the first.
FIRST, SECOND = "0", "1"
_TEMPLATE = re.compile(r"\bproto (\w+) .*?\breqid (\d+)(?:\(\S*)? mode (\w+)")
_MARK = re.compile(r"\bmark (\S+)/(\S+)")


@dataclasses.dataclass(frozen=True)
class End:
    """One version's end of SSH here: its address, the admins' networks (none for anywhere), and the ports."""

    version: int
    address: str
    networks: tuple[str, ...]
    ports: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Policy:
    """A policy: whom it is about, its priority and other marks, and how such packets have to be protected.

    :arg selector: Ends, protocol and ports, as `ip xfrm policy` shows and reads them.
    :arg settings: What follows up to the templates, the direction first.
    """

    selector: str
    settings: str
    templates: tuple[str, ...] = ()

    @property
    def direction(self) -> str:
        """``in``, ``out`` or ``fwd``."""
        return self.settings.split()[1]

    def __str__(self) -> str:
        """Return it as `ip` would read it, in one line."""
        return " ".join((self.selector, self.settings, *self.templates))

    @property
    def is_plain(self) -> bool:
        """Whether it lets packets through as they are, ahead of all others."""
        return self.is_first and not self.blocks and not self.templates

    def is_about(self, ends: t.Iterable[End]) -> bool:
        """Tell whether it may be about a connection of SSH, or what neighbours in IPv6 ask each other."""
        words = self.selector.split()
        given = dict(zip(words[::2], words[1::2]))
        source, target = (ipaddress.ip_network(given[name], strict=False) for name in ("src", "dst"))
        own, theirs = (target, source) if self.direction == "in" else (source, target)
        for end in ends:
            if end.version != own.version or ipaddress.ip_address(end.address) not in own:
                continue
            if given.get("proto") == "ipv6-icmp":
                return True
            port = given.get("dport" if self.direction == "in" else "sport", "0")
            networks = [ipaddress.ip_network(each, strict=False) for each in end.networks or [ANY[end.version]]]
            if (
                given.get("proto", "tcp") == "tcp"
                and port in ("0", *map(str, end.ports))
                and any(theirs.overlaps(network) for network in networks)
            ):
                return True
        return False

    @property
    def is_first(self) -> bool:
        """Whether none can be put ahead of it."""
        return f" priority {FIRST} " in f"{self.settings} "

    @property
    def blocks(self) -> bool:
        """Whether it says outright that nothing may pass."""
        return " action block " in f"{self.settings} "

    def hinders(self, keys: t.Collection[tuple[str, str, str]]) -> bool:
        """Tell whether it lets nothing through.

        :arg keys: Protocol, id and mode of each security association that there is.
        """
        if self.direction == "fwd":
            return False
        return self.blocks or any(not _has_key(template, keys) for template in self.templates)

    def demoted(self) -> list[str]:
        """Return the command that leaves it as it is, but for one place in the order."""
        settings = _MARK.sub(r"mark \1 mask \2", self.settings).replace(f"priority {FIRST}", f"priority {SECOND}")
        words = [*self.selector.split(), *settings.split(), *" ".join(self.templates).split()]
        return ["ip", "xfrm", "policy", "update", *words]


def _has_key(template: str, keys: t.Collection[tuple[str, str, str]]) -> bool:
    found = _TEMPLATE.search(template)
    if "level use" in template or not found:
        return True
    protocol, number, mode = found.groups()
    return any(each[0] == protocol and each[2] == mode and number in ("0", each[1]) for each in keys)


def parse_policies(shown: str) -> list[Policy]:
    """Read what `ip xfrm policy show` shows; what belongs to one socket alone is left out."""
    blocks = re.split(r"^(?=src )", shown, flags=re.MULTILINE)
    policies = []
    for block in blocks:
        head, *templates = (" ".join(part.split()) for part in re.split(r"\n\s+(?=tmpl )", block))
        selector, found, settings = head.partition(" dir ")
        if found:
            policies.append(Policy(selector=selector, settings=f"dir {settings}", templates=tuple(templates)))
    return policies


def parse_keys(shown: str) -> set[tuple[str, str, str]]:
    """Read protocol, id and mode of each security association that `ip xfrm state show` shows."""
    # One without a number is no key yet: it was asked for.
    found = re.findall(r"^\s+proto (\w+) spi (?!0x0+\b)\S+ reqid (\d+)\S* mode (\w+)", shown, flags=re.MULTILINE)
    return set(found)


class Ipsec:
    """The policies of this host."""

    def __init__(self, *, runner: CommandRunner) -> None:
        self._runner = runner
        self._ours: set[tuple[str, str]] = set()

    def look(self, *, good: t.Sequence[str]) -> list[str]:
        """Return the policies as lines.

        While SSH is ahead of them, a login proves nothing of those behind it: then they are what they were before.

        :arg good: What this returned when a login last worked.
        """
        return list(good) if self._ours else sorted(map(str, self._policies()))

    def let_ssh_through(self, ends: t.Sequence[End], *, good: t.Collection[str]) -> list[str]:
        """Put SSH ahead of policies that let nothing through, and return the commands that it took.

        :arg ends: Who has to get through.
        :arg good: Policies, as `look` returns them, that were there when a login last worked.
        """
        policies = self._policies()
        strange = self._strange(policies, ends, good)
        if not strange and not self._blocks_by_default():
            return []
        wanted = [each for end in ends for each in selectors(end)]
        there = plain(policies)
        self._ours.update(wanted)
        argvs = [each.demoted() for each in strange if each.is_first]
        argvs += [
            ["ip", "xfrm", "policy", "update", *selector.split(), "dir", direction, "priority", FIRST]
            for selector, direction in wanted
            if (selector, direction) not in there
        ]
        for argv in argvs:
            self._runner.run(argv, check=False)
        return [" ".join(argv) for argv in argvs]

    def adopt(self, ends: t.Sequence[End]) -> None:
        """Take what an earlier process has put ahead for one's own."""
        self._ours = plain(self._policies()) & {each for end in ends for each in selectors(end)}

    def is_needed(self, ends: t.Sequence[End], *, good: t.Collection[str]) -> bool:
        """Tell whether anything lets nothing through; nothing is looked at where nothing was put ahead."""
        if not self._ours:
            return True
        return bool(self._strange(self._policies(), ends, good)) or self._blocks_by_default()

    def release(self, ends: t.Sequence[End]) -> None:
        """Take back what was put ahead, by an earlier process as well."""
        self.adopt(ends)
        for selector, direction in sorted(self._ours):
            self._runner.run(["ip", "xfrm", "policy", "delete", *selector.split(), "dir", direction], check=False)
        self._ours.clear()

    def _strange(self, policies: t.Iterable[Policy], ends: t.Sequence[End], good: t.Collection[str]) -> list[Policy]:
        keys = parse_keys(self._read("state", "show"))
        return [
            each
            for each in policies
            if not self._is_own(each) and str(each) not in good and each.hinders(keys) and each.is_about(ends)
        ]

    def _is_own(self, policy: Policy) -> bool:
        return policy.is_plain and (policy.selector, policy.direction) in self._ours

    def _policies(self) -> list[Policy]:
        return parse_policies(self._read("policy", "show"))

    def _blocks_by_default(self) -> bool:
        return bool(re.search(r"^\s*(in|out):\s*block", self._read("policy", "getdefault"), re.MULTILINE))

    def _read(self, *words: str) -> str:
        return self._runner.run(["ip", "xfrm", *words], check=False).stdout


def plain(policies: t.Iterable[Policy]) -> set[tuple[str, str]]:
    """Return selectors and directions of those that let packets through ahead of all others."""
    return {(each.selector, each.direction) for each in policies if each.is_plain}


def selectors(end: End) -> list[tuple[str, str]]:
    """Return which packets are let through, as selectors and directions."""
    found = []
    own = str(ipaddress.ip_network(end.address))
    for network, port in itertools.product(end.networks or [ANY[end.version]], end.ports):
        theirs = str(ipaddress.ip_network(network, strict=False))
        found.append((f"src {theirs} dst {own} proto tcp dport {port}", "in"))
        found.append((f"src {own} dst {theirs} proto tcp sport {port}", "out"))
    if end.version == 6:
        anybody = ANY[6]
        found += [
            (f"src {anybody} dst {anybody} proto ipv6-icmp type {kind}", direction)
            for kind in NEIGHBOUR_TYPES
            for direction in ("in", "out")
        ]
    return found
