# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's whole packet filter: read, compared and put back.

iptables-nft keeps its rules in tables of nftables, but `nft` cannot load its own listing of them: their matches
are foreign to it. Such tables are therefore kept as iptables saves them, every other as `nft` lists it.

Each table is swapped in one step, so that no packet ever meets half of one. What is put back once let SSH in,
hence SSH is open from the first swap on and needs no rule that holds it open meanwhile; where a swap is refused,
there is one (`KernelFilter.hold`).
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.guard import hold_rules

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

COUNTERS = re.compile(r"^(:\S+ \S+) \[\d+:\d+\]$")
HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}


@dataclasses.dataclass(frozen=True)
class Backend:
    """One of the four iptables commands.

    :arg family: Its family as nftables names it; empty for the legacy ones, whose tables nftables does not see.
    :arg names: Where the kernel lists the legacy tables in use: to ask for one that is not would create it.
    """

    command: str
    version: int
    family: str = ""
    names: str = ""


BACKENDS = (
    Backend("iptables-nft", 4, family="ip"),
    Backend("ip6tables-nft", 6, family="ip6"),
    Backend("iptables-legacy", 4, names="proc/net/ip_tables_names"),
    Backend("ip6tables-legacy", 6, names="proc/net/ip6_tables_names"),
)


@dataclasses.dataclass(frozen=True)
class Filter:
    """A packet filter.

    :arg xtables: For each iptables command its tables, by name, as iptables-restore takes them.
    :arg nft: The other tables, by family and name, as `nft` lists them.
    """

    xtables: t.Mapping[str, t.Mapping[str, str]]
    nft: t.Mapping[str, str]

    def as_text(self) -> str:
        """Return all of it for a person to read."""
        parts = [f"# {command}\n{''.join(tables.values())}" for command, tables in self.xtables.items() if tables]
        return "\n".join([*parts, *self.nft.values()])


def empty_table(name: str) -> str:
    """Return a table as it is before anybody uses it: without rules, accepting everything."""
    return "".join([f"*{name}\n", *(f":{chain} ACCEPT\n" for chain in HOOKS.get(name, ())), "COMMIT\n"])


def parse_save(text: str) -> dict[str, str]:
    """Split what iptables-save prints into tables; counters, which always differ, are left out."""
    tables: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("*"):
            name = line[1:].strip()
            tables[name] = ""
        if name and line and not line.startswith("#"):
            tables[name] += COUNTERS.sub(r"\1", line) + "\n"
        if line == "COMMIT":
            name = ""
    return tables


def is_empty(name: str, text: str) -> bool:
    """Tell whether a table does nothing, so that its absence is the same."""
    return sorted(text.splitlines()) == sorted(empty_table(name).splitlines())


def loadable(table: str) -> str:
    """Return a table as iptables-restore wants it, which insists on counters for chains of our own."""
    return re.sub(r"^(:\S+ \S+)$", r"\1 [0:0]", table, flags=re.MULTILINE)


def nft_script(*, now: t.Mapping[str, str], wanted: t.Mapping[str, str]) -> str:
    """Return the one transaction that leads from some tables to others; empty where nothing differs."""
    lines = [f"delete table {name}\n" for name in now if now[name] != wanted.get(name)]
    lines += [text for name, text in wanted.items() if now.get(name) != text]
    return "".join(lines)


def xtables_script(*, now: t.Mapping[str, str], wanted: t.Mapping[str, str]) -> str:
    """Return input for iptables-restore that leads from some tables to others; empty where nothing differs."""
    lines = [empty_table(name) for name in now if name not in wanted]
    lines += [text for name, text in wanted.items() if now.get(name) != text]
    return loadable("".join(lines))


class KernelFilter:
    """The packet filter of this host."""

    def __init__(self, *, runner: CommandRunner, root: Path = Path("/")) -> None:
        self._runner = runner
        self._root = root

    def read(self, *, native: t.Collection[str] = ()) -> Filter:
        """Return what is loaded.

        :arg native: Tables to be read by `nft` although iptables could, since they are to be compared with such.
        """
        saved = {backend: self._read_xtables(backend) for backend in BACKENDS}
        claimed = {f"{backend.family} {name}" for backend, tables in saved.items() for name in tables} - set(native)
        listed = self._runner.run(["nft", "list", "tables"], check=False).stdout.splitlines()
        names = [line[len("table ") :] for line in listed if line.startswith("table ")]
        return Filter(
            xtables={
                backend.command: {
                    name: text
                    for name, text in tables.items()
                    if not is_empty(name, text) and f"{backend.family} {name}" not in native
                }
                for backend, tables in saved.items()
            },
            nft={name: self._read_nft(name) for name in names if name not in claimed},
        )

    def restore(self, wanted: Filter) -> tuple[list[str], list[str]]:
        """Put a packet filter back where it differs, and return what was done and what was refused."""
        now = self.read(native=wanted.nft)
        done, refused = self._restore_nft(now=now.nft, wanted=wanted.nft)
        for backend in BACKENDS:
            before, after = now.xtables.get(backend.command, {}), wanted.xtables.get(backend.command, {})
            names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
            if not names:
                continue
            error = self._restore_xtables(backend, before=before, after=after)
            told = f"{backend.command}: {', '.join(names)}"
            (refused if error else done).append(f"{told}: {error}" if error else told)
        return done, refused

    def _restore_xtables(self, backend: Backend, *, before: t.Mapping[str, str], after: t.Mapping[str, str]) -> str:
        """Swap one command's tables and return what it says against that, if anything."""
        surplus = [name for name in before if name not in after]
        if backend.family and surplus:
            # nft takes such tables away, where iptables could only empty them.
            script = "".join(f"delete table {backend.family} {name}\n" for name in surplus)
            if self._runner.run(["nft", "--file", "-"], stdin=script, check=False).rc == 0:
                before = {name: text for name, text in before.items() if name in after}
        script = xtables_script(now=before, wanted=after)
        if not script:
            return ""
        result = self._runner.run([f"{backend.command}-restore"], stdin=script, check=False)
        return "" if result.rc == 0 else (result.stderr.strip() or f"exit code {result.rc}")

    def hold(self, *, ports: t.Iterable[int]) -> None:
        """Accept SSH ahead of all other rules of the filter tables; the role ufw takes such rules out again."""
        ports = list(ports)
        for backend in BACKENDS:
            if not self._in_use(backend):
                continue
            for line in hold_rules(family=backend.version, ports=ports, networks=[]):
                rule = line.split()
                if self._runner.run([backend.command, "-C", *rule[1:]], check=False).rc != 0:
                    self._runner.run([backend.command, "-I", *rule[1:]], check=False)

    def _in_use(self, backend: Backend) -> bool:
        """Whether a command's tables exist, which for the legacy ones must be known before they are asked."""
        if not backend.names:
            return True
        try:
            return bool((self._root / backend.names).read_text(encoding="ascii").strip())
        except OSError:
            return False

    def _read_xtables(self, backend: Backend) -> dict[str, str]:
        if not self._in_use(backend):
            return {}
        return parse_save(self._runner.run([f"{backend.command}-save"], check=False).stdout)

    def _read_nft(self, name: str) -> str:
        # Without state: counters and the time that elements have left would differ every time.
        return self._runner.run(["nft", "--stateless", "list", "table", *name.split()], check=False).stdout

    def _restore_nft(self, *, now: t.Mapping[str, str], wanted: t.Mapping[str, str]) -> tuple[list[str], list[str]]:
        script = nft_script(now=now, wanted=wanted)
        names = sorted(name for name in {*now, *wanted} if now.get(name) != wanted.get(name))
        if not script:
            return [], []
        if self._runner.run(["nft", "--file", "-"], stdin=script, check=False).rc == 0:
            return [f"nft: {', '.join(names)}"], []
        # A table that another process owns spoils the transaction for all.
        done, refused = [], []
        for name in names:
            script = nft_script(
                now={name: now[name]} if name in now else {}, wanted={name: wanted[name]} if name in wanted else {}
            )
            result = self._runner.run(["nft", "--file", "-"], stdin=script, check=False)
            if result.rc == 0:
                done.append(f"nft: {name}")
            else:
                refused.append(f"nft ({name}): {result.stderr.strip()}")
        return done, refused
