# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's IPsec policies, by which SSH vanishes ahead of every rule of the packet filter.

A policy that wants packets encrypted for which no key was agreed on lets none through, and one that blocks says so.
They are not removed: whatever else they protect would be open then. SSH is let through ahead of them, and so is what
neighbours ask each other in IPv6.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
import re
import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

ANY = {4: "0.0.0.0/0", 6: "::/0"}
NEIGHBOUR_TYPES = (133, 134, 135, 136)  # of ICMPv6: routers and neighbours, asking and answering
# Of two policies with the same priority the older one counts, so a stranger's must not have the first.
FIRST, SECOND = "0", "1"
_TEMPLATE = re.compile(r"\bproto (\w+) .*?\breqid (\d+)(?:\(\S*)? mode (\w+)")
_MARK = re.compile(r"\bmark (\S+)/(\S+)")


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
    found = re.findall(r"^\s+proto (\w+) spi \S+ reqid (\d+)\S* mode (\w+)", shown, flags=re.MULTILINE)
    return {(protocol, number, mode) for protocol, number, mode in found}


class Ipsec:
    """The policies of this host."""

    def __init__(self, *, runner: CommandRunner, settings: Settings) -> None:
        self._runner = runner
        self._ours = own_selectors(settings)

    def let_ssh_through(self) -> list[str]:
        """Put SSH ahead of policies that let nothing through, and return the commands that it took.

        Where keys were agreed on, admins may come by IPsec, which no probe can tell: then nothing is touched.
        """
        policies = self._policies()
        keys = parse_keys(self._read("state", "show"))
        strange = [each for each in policies if not self._is_own(each) and each.hinders(keys)]
        if not strange and not self._blocks_by_default():
            return []
        own = {(each.selector, each.direction) for each in policies if self._is_own(each)}
        argvs = [each.demoted() for each in strange if each.is_first]
        argvs += [
            ["ip", "xfrm", "policy", "update", *selector.split(), "dir", direction, "priority", FIRST]
            for selector, direction in self._ours
            if (selector, direction) not in own
        ]
        for argv in argvs:
            self._runner.run(argv, check=False)
        return [" ".join(argv) for argv in argvs]

    def release(self) -> None:
        """Take back what was put ahead."""
        for each in self._policies():
            if self._is_own(each):
                argv = ["ip", "xfrm", "policy", "delete", *each.selector.split(), "dir", each.direction]
                self._runner.run(argv, check=False)

    def _is_own(self, policy: Policy) -> bool:
        plain = policy.is_first and not policy.blocks and not policy.templates
        return plain and (policy.selector, policy.direction) in self._ours

    def _policies(self) -> list[Policy]:
        return parse_policies(self._read("policy", "show"))

    def _blocks_by_default(self) -> bool:
        return bool(re.search(r"^\s*(in|out):\s*block", self._read("policy", "getdefault"), re.MULTILINE))

    def _read(self, *words: str) -> str:
        return self._runner.run(["ip", "xfrm", *words], check=False).stdout


def own_selectors(settings: Settings) -> list[tuple[str, str]]:
    """Return whom SSH is let through for, as selectors and directions."""
    found = []
    for version in (4, 6):
        if not settings.admits(version):
            continue
        anybody = ANY[version]
        networks = [str(ipaddress.ip_network(each, strict=False)) for each in settings.networks(version)]
        for network, port in itertools.product(networks or [anybody], settings.ports):
            found.append((f"src {network} dst {anybody} proto tcp dport {port}", "in"))
            found.append((f"src {anybody} dst {network} proto tcp sport {port}", "out"))
        if version == 6:
            found += [
                (f"src {anybody} dst {anybody} proto ipv6-icmp type {kind}", direction)
                for kind in NEIGHBOUR_TYPES
                for direction in ("in", "out")
            ]
    return found
