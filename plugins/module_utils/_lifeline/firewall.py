# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH accepted ahead of everything else in every hook of the kernel's firewall that an SSH packet passes.

An accept ends its own chain only: another table, or another priority of the same hook, can still drop the packet.
So each base chain that could do so begins with the rules here. They are stateless (a full or broken connection
table does not matter) and come in both directions, since a reply that is dropped closes SSH as well.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.reflex import Reflex

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

NAME = "ssh-lifeline"
INWARD = ("ingress", "prerouting", "input")
OUTWARD = ("output", "postrouting", "egress")
IP_VERSIONS = {"ip": (4,), "ip6": (6,), "inet": (4, 6), "netdev": (4, 6)}
IP = {4: "ip", 6: "ip6"}
# Without them a neighbour cannot find this host's address over IPv6, and SSH is closed although its port is open.
DISCOVERY = ("nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-advert", "nd-router-solicit")
# A packet is translated once, when its connection begins, and only these hooks see that of a client.
TRANSLATES = ("prerouting", "input")
LEGACY_HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT"),
    "filter": ("INPUT", "OUTPUT"),
    "security": ("INPUT", "OUTPUT"),
}
LEGACY = {4: ("/proc/net/ip_tables_names", "iptables-legacy"), 6: ("/proc/net/ip6_tables_names", "ip6tables-legacy")}


@dataclasses.dataclass(frozen=True)
class Rule:
    """As much of a rule as tells ours from others: its handle and its comment."""

    handle: int
    comment: str

    @property
    def ours(self) -> bool:
        """Whether the guard wrote it."""
        return self.comment.startswith(f"{NAME} ")


@dataclasses.dataclass(frozen=True)
class Chain:
    """A base chain of nftables (those of iptables-nft are some), its rules in their order."""

    family: str
    table: str
    name: str
    kind: str
    hook: str
    priority: int
    policy: str
    rules: tuple[Rule, ...] = ()

    @property
    def harmless(self) -> bool:
        """Whether nothing in it can stop a packet."""
        return self.policy == "accept" and all(rule.ours for rule in self.rules)

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name} ({self.hook}, priority {self.priority})"


def parse_ruleset(text: str) -> list[Chain]:
    """Read the base chains out of ``nft --json list ruleset``."""
    chains: dict[tuple[str, str, str], Chain] = {}
    rules: dict[tuple[str, str, str], list[Rule]] = {}
    for item in json.loads(text).get("nftables", []):
        if "hook" in item.get("chain", {}):
            found = item["chain"]
            chains[found["family"], found["table"], found["name"]] = Chain(
                family=found["family"],
                table=found["table"],
                name=found["name"],
                kind=found.get("type", "filter"),
                hook=found["hook"],
                priority=found.get("prio", 0),
                policy=found.get("policy", "accept"),
            )
        elif "rule" in item:
            found = item["rule"]
            rule = Rule(handle=found["handle"], comment=found.get("comment", ""))
            rules.setdefault((found["family"], found["table"], found["chain"]), []).append(rule)
    return [dataclasses.replace(chain, rules=tuple(rules.get(key, ()))) for key, chain in chains.items()]


def wanted_rules(*, chain: Chain, settings: Settings) -> list[str]:
    """Return the rules that a chain has to begin with; an empty list where SSH does not pass it.

    One port and one network a rule: iptables, which may be asked to save these chains, knows no sets.
    """
    if chain.family == "arp":
        return ["arp operation request accept", "arp operation reply accept"]
    if chain.family not in IP_VERSIONS or chain.hook not in (*INWARD, *OUTWARD):
        return []
    if chain.kind == "nat":
        return _ssh_rules(chain=chain, settings=settings) if chain.hook in TRANSLATES else []
    rules = _ssh_rules(chain=chain, settings=settings)
    if 6 in IP_VERSIONS[chain.family] and settings.admits(6):
        rules += [f"icmpv6 type {kind} accept" for kind in DISCOVERY]
    if chain.family == "netdev":
        rules.append("ether type arp accept")
    return rules


def _ssh_rules(*, chain: Chain, settings: Settings) -> list[str]:
    end, port_of = ("saddr", "dport") if chain.hook in INWARD else ("daddr", "sport")
    rules = []
    for port in settings.ports:
        for version in IP_VERSIONS[chain.family]:
            networks = settings.networks(version)
            rules += [f"{IP[version]} {end} {network} tcp {port_of} {port} accept" for network in networks]
        if not settings.admin_cidrs:
            rules.append(f"tcp {port_of} {port} accept")
    return rules


def comments(rules: t.Sequence[str]) -> list[str]:
    """Return the comment of each rule, by which a chain is known to begin with just these."""
    return [f"{NAME} {hashlib.sha256(rule.encode()).hexdigest()[:8]}" for rule in rules]


def is_held(*, chain: Chain, rules: t.Sequence[str]) -> bool:
    """Tell whether a chain begins with the rules, and has no more of ours."""
    begins = [rule.comment for rule in chain.rules[: len(rules)]] == comments(rules)
    return begins and not any(rule.ours for rule in chain.rules[len(rules) :])


def hold_script(*, chain: Chain, rules: t.Sequence[str]) -> str:
    """Return nft commands that put the rules first; run as one, no packet sees the chain in between."""
    place = f"{chain.family} {chain.table} {chain.name}"
    lines = [f"delete rule {place} handle {rule.handle}" for rule in chain.rules if rule.ours]
    # Each goes ahead of the one inserted before it.
    for rule, comment in reversed(list(zip(rules, comments(rules)))):
        lines.append(f'insert rule {place} {rule} comment "{comment}"')
    return "".join(f"{line}\n" for line in lines)


def release_script(chains: t.Iterable[Chain]) -> str:
    """Return nft commands that take every rule of ours out again."""
    return "".join(
        f"delete rule {chain.family} {chain.table} {chain.name} handle {rule.handle}\n"
        for chain in chains
        for rule in chain.rules
        if rule.ours
    )


class Firewall:
    """The firewall of this host."""

    def __init__(self, *, runner: CommandRunner, settings: Settings) -> None:
        self._runner = runner
        self._settings = settings
        self._reflex = Reflex(mark=f"{NAME} ")
        self.refusing: set[tuple[str, str]] = set()  # tables, by family and name, that could not be changed at last

    def chains(self) -> list[Chain]:
        """Return the base chains; none on a host without nftables."""
        done = self._runner.run(["nft", "--json", "--terse", "list", "ruleset"], check=False)
        return parse_ruleset(done.stdout) if done.rc == 0 and done.stdout else []

    def open_chains(self, chains: t.Iterable[Chain] | None = None) -> list[tuple[Chain, list[str]]]:
        """Return the chains that could stop SSH, of these or of all, with the rules they lack."""
        found = []
        for chain in self.chains() if chains is None else chains:
            rules = wanted_rules(chain=chain, settings=self._settings)
            if rules and not chain.harmless and not is_held(chain=chain, rules=rules):
                found.append((chain, rules))
        return found

    def begin_reflex(self, look: t.Callable[[], object]) -> None:
        """Put SSH first at once from now on, in chains that have been held once; have a new chain looked at."""
        self._reflex.begin(look)

    def hold(self) -> list[str]:
        """Put SSH first wherever it is not, and say where that was.

        :raises WebstackError: when a chain cannot be changed (a table that another process owns).
        """
        self.refusing.clear()
        chains = self.chains()
        lacking = self.open_chains(chains)
        told = [f"SSH stands first in {chain} again" for chain, _rules in lacking]
        script = "".join(hold_script(chain=chain, rules=rules) for chain, rules in lacking)
        if script and self._runner.run(["nft", "--file", "-"], stdin=script, check=False).rc != 0:
            told = self._hold_one_by_one(lacking)
        self._reflex.learn((chain.family, chain.table, chain.name) for chain in chains if not chain.harmless)
        return told + self._hold_legacy()

    def release(self) -> None:
        """Take every rule of ours out again."""
        self._runner.run(["nft", "--file", "-"], stdin=release_script(self.chains()), check=False)
        for version, command, table, chain in self._legacy_chains():
            inward = chain in ("PREROUTING", "INPUT")
            rules = legacy_rules(inward=inward, version=version, translates=table == "nat", settings=self._settings)
            for rule in rules:
                self._runner.run([command, "--wait", "5", "--table", table, "--delete", chain, *rule], check=False)

    def _hold_one_by_one(self, lacking: t.Sequence[tuple[Chain, list[str]]]) -> list[str]:
        """Do what can be done where one chain spoils the transaction for all."""
        told, refused = [], []
        for chain, rules in lacking:
            done = self._runner.run(["nft", "--file", "-"], stdin=hold_script(chain=chain, rules=rules), check=False)
            if done.rc == 0:
                told.append(f"SSH stands first in {chain} again")
            else:
                refused.append(f"{chain}: {done.stderr.strip().splitlines()[0] if done.stderr.strip() else done.rc}")
                self.refusing.add((chain.family, chain.table))
        # A chain that vanished meanwhile is no loss; the next look tells.
        still = {str(chain) for chain, _rules in self.open_chains()}
        if refused and still:
            raise WebstackError("; ".join(refused), held=told)
        return told

    def _hold_legacy(self) -> list[str]:
        """Do the same for the older iptables, whose tables nftables does not see."""
        return [
            f"SSH stands first in {command} {table} {chain} again"
            for version, command, table, chain in self._legacy_chains()
            if self._hold_legacy_chain(command, version, table, chain)
        ]

    def uses_legacy(self) -> bool:
        """Tell whether the older iptables is in use, of whose changes nothing tells."""
        return any(read_words(Path(names)) for names, _command in LEGACY.values())

    @staticmethod
    def _legacy_chains() -> list[tuple[int, str, str, str]]:
        """Return the IP version, command, table and name of each chain of the older iptables that is in use."""
        return [
            (version, command, table, chain)
            for version, (names, command) in LEGACY.items()
            for table in read_words(Path(names))
            for chain in LEGACY_HOOKS.get(table, ())
        ]

    def _hold_legacy_chain(self, command: str, version: int, table: str, chain: str) -> bool:
        inward = chain in ("PREROUTING", "INPUT")
        rules = legacy_rules(inward=inward, version=version, translates=table == "nat", settings=self._settings)
        done = self._runner.run([command, "--wait", "5", "--table", table, "--list-rules", chain], check=False)
        found = [line.split()[2:] for line in done.stdout.splitlines() if line.startswith("-A ")]
        accepts = done.stdout.startswith(f"-P {chain} ACCEPT")
        if done.rc != 0 or (accepts and not found) or found[: len(rules)] == rules:
            return False
        for rule in reversed(rules):
            self._runner.run([command, "--wait", "5", "--table", table, "--insert", chain, "1", *rule], check=False)
        return True


def read_words(path: Path) -> list[str]:
    """Return the words of a file, none where there is no such file."""
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []


def legacy_rules(*, inward: bool, version: int, translates: bool, settings: Settings) -> list[list[str]]:
    """Return the rules as words that iptables takes, and shows, in just this form."""
    end, port_option = ("-s", "--dport") if inward else ("-d", "--sport")
    tail = ["-m", "comment", "--comment", NAME, "-j", "ACCEPT"]
    places: list[list[str]] = [[end, network] for network in settings.networks(version)]
    if not settings.admin_cidrs:
        places = [[]]
    rules = [
        [*place, "-p", "tcp", "-m", "tcp", port_option, str(port), *tail] for port in settings.ports for place in places
    ]
    if version == 6 and not translates and settings.admits(6):
        kinds = ("133", "134", "135", "136")
        rules += [["-p", "ipv6-icmp", "-m", "icmp6", "--icmpv6-type", kind, *tail] for kind in kinds]
    return rules
