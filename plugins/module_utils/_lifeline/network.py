# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses, routes and links as lines of text, and the commands that lead from one state back to another."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

# The probe's end on this host, which belongs to no state.
OWN_LINK = "lifeline0"
OWN_FILTERS = {4: "1", 6: "2"}  # the preference of each IP version's, on the way out
SYSCTLS = {
    "ipv4": ("rp_filter", "arp_ignore", "arp_filter", "drop_gratuitous_arp"),
    "ipv6": ("disable_ipv6", "accept_ra"),
}
# What the kernel adds to a route for us to see, and does not take back.
PASSING = re.compile(r" (linkdown|dead|expires \d+sec|error -?\d+|offload|trap|rt_offload|rt_trap)\b")

State = t.Dict[str, t.List[str]]  # noqa: UP006 (evaluated on Python 3.8)


class Network:
    """The network of this host."""

    def __init__(self, *, runner: CommandRunner, proc: Path = Path("/proc/sys/net")) -> None:
        self._runner = runner
        self._proc = proc

    def look(self) -> State:
        """Return the state: lines by kind, as `ip` writes and (behind a verb) reads them."""
        addresses = self._json("ip", "-json", "address", "show", "scope", "global")
        devices = sorted({each["ifname"] for each in addresses if each.get("ifname") not in (None, OWN_LINK)})
        links = self._json("ip", "-json", "link", "show")
        return {
            "link": [line for each in links if each.get("ifname") in devices for line in link_lines(each)],
            "sysctl": [line for device in ("all", *devices) for line in self._sysctls(device)],
            "address": [
                f"{info['local']}/{info['prefixlen']} dev {each['ifname']}"
                for each in addresses
                if each.get("ifname") in devices
                for info in each.get("addr_info", [])
                if "local" in info and not info.get("temporary")
            ],
            "route4": self._lines("ip", "-4", "route", "show", "table", "main"),
            "route6": self._lines("ip", "-6", "route", "show", "table", "main"),
            "rule4": self._lines("ip", "-4", "rule", "show"),
            "rule6": self._lines("ip", "-6", "rule", "show"),
            "neighbour": self._neighbours(),
            "qdisc": [line for device in devices for line in self._qdiscs(device)],
            "filter": [line for device in devices for line in self._filters(device)],
        }

    def drop_strange_neighbours(self, *, good: State, own: t.Collection[str]) -> list[str]:
        """Forget fixed hardware addresses that were not there before, and return them as lines.

        No probe can tell that the gateway's is wrong, since the wire is left out. The kernel asks for it anew.

        :arg own: Addresses whose entries are the guard's.
        """
        now = self._neighbours()
        strange = [line for line in now if line not in good.get("neighbour", []) and line.split()[0] not in own]
        for argv in (argv for line in strange for argv in _unset_neighbour(line)):
            self._runner.run(argv, check=False)
        return strange

    def _neighbours(self) -> list[str]:
        return self._lines("ip", "neigh", "show", "nud", "permanent")

    def restore(self, *, good: State) -> list[str]:
        """Go back to a state and return the commands it took."""
        argvs = commands(good=good, now=self.look())
        for argv in argvs:
            self._runner.run(argv, check=False)
        if argvs:  # addresses take routes with them, and bring some
            second = [argv for argv in commands(good=good, now=self.look()) if argv not in argvs]
            for argv in second:
                self._runner.run(argv, check=False)
            argvs += second
        return [" ".join(argv) for argv in argvs]

    def _json(self, *argv: str) -> list[dict[str, t.Any]]:
        try:
            found: list[dict[str, t.Any]] = json.loads(self._runner.run(list(argv), check=False).stdout or "[]")
        except ValueError:
            return []
        return found

    def _lines(self, *argv: str) -> list[str]:
        text = self._runner.run(list(argv), check=False).stdout
        lines = (PASSING.sub("", line).replace("\t", " ").strip() for line in text.splitlines())
        return [line for line in lines if line and f"dev {OWN_LINK}" not in line and not line.startswith("fe80::/")]

    def _sysctls(self, device: str) -> list[str]:
        found = []
        for family, names in SYSCTLS.items():
            for name in names:
                path = self._proc / family / "conf" / device / name
                if path.exists():
                    found.append(f"net/{family}/conf/{device}/{name}={path.read_text(encoding='ascii').strip()}")
        return found

    def _qdiscs(self, device: str) -> list[str]:
        shown = self._lines("tc", "qdisc", "show", "dev", device)
        words = (line.split() for line in shown if " root " in f"{line} ")
        return [f"{device} root {each[1]}" for each in words]

    def _filters(self, device: str) -> list[str]:
        found = []
        for way in ("ingress", "egress"):
            shown = self._lines("tc", "filter", "show", "dev", device, way)
            prefs = {match[1] for line in shown if (match := re.search(r"\bpref (\d+)\b", line))}
            found += [
                f"{device} {way} {pref}" for pref in sorted(prefs) if not (way == "egress" and pref in OWN_FILTERS)
            ]
        return found


def link_lines(link: t.Mapping[str, t.Any]) -> list[str]:
    """Return what of a link counts."""
    name, flags = link["ifname"], link.get("flags", [])
    return [
        f"{name} {'up' if 'UP' in flags else 'down'}",
        f"{name} arp {'off' if 'NOARP' in flags else 'on'}",
        f"{name} mtu {link.get('mtu')}",
        f"{name} address {link.get('address')}",
        *([f"{name} xdp on"] if link.get("xdp") else []),
    ]


def commands(*, good: State, now: State) -> list[list[str]]:
    """Return the commands that lead from ``now`` to ``good``, in an order in which they work."""
    argvs: list[list[str]] = []
    for kind, verbs in VERBS.items():
        before, after = now.get(kind, []), good.get(kind, [])
        argvs += [argv for line in before if line not in after for argv in verbs[1](line)]
        argvs += [argv for line in after if line not in before for argv in verbs[0](line)]
    return argvs


def _set_link(line: str) -> list[list[str]]:
    name, *words = line.split()
    # A device changes its hardware address only while it is down, and loses its IPv6 addresses then.
    down = [["ip", "link", "set", "dev", name, "down"]] if words[0] == "address" else []
    up = [["ip", "link", "set", "dev", name, "up"]] if words[0] == "address" else []
    return [*down, ["ip", "link", "set", "dev", name, *words], *up]


def _unset_link(line: str) -> list[list[str]]:
    name, *words = line.split()
    if words != ["xdp", "on"]:
        return []
    return [["ip", "link", "set", "dev", name, mode, "off"] for mode in ("xdp", "xdpgeneric", "xdpoffload")]


def _set_sysctl(line: str) -> list[list[str]]:
    return [["sysctl", "--quiet", "--write", line]]


def _set_address(line: str) -> list[list[str]]:
    nodad = ["nodad"] if ":" in line else []
    return [["ip", "address", "replace", *line.split(), *nodad]]


def _route(version: str, verb: str) -> t.Callable[[str], list[list[str]]]:
    return lambda line: [["ip", version, "route", verb, *line.split()]]


def _rule(version: str, verb: str) -> t.Callable[[str], list[list[str]]]:
    def argvs(line: str) -> list[list[str]]:
        preference, _colon, words = line.partition(":")
        return [["ip", version, "rule", verb, "pref", preference, *words.split()]]

    return argvs


def _unset_neighbour(line: str) -> list[list[str]]:
    words = line.split()
    return [["ip", "neigh", "del", words[0], *words[words.index("dev") : words.index("dev") + 2]]]


def _unset_qdisc(line: str) -> list[list[str]]:
    return [["tc", "qdisc", "del", "dev", line.split(maxsplit=1)[0], "root"]]


def _unset_filter(line: str) -> list[list[str]]:
    device, way, preference = line.split()
    return [["tc", "filter", "del", "dev", device, way, "pref", preference]]


def _nothing(_line: str) -> list[list[str]]:
    return []


# How a line that is missing comes back, and how one that is too many goes.
VERBS: dict[str, tuple[t.Callable[[str], list[list[str]]], t.Callable[[str], list[list[str]]]]] = {
    "link": (_set_link, _unset_link),
    "sysctl": (_set_sysctl, _nothing),
    "address": (_set_address, _nothing),
    "rule4": (_rule("-4", "add"), _rule("-4", "del")),
    "rule6": (_rule("-6", "add"), _rule("-6", "del")),
    "route4": (_route("-4", "replace"), _route("-4", "del")),
    "route6": (_route("-6", "replace"), _route("-6", "del")),
    "neighbour": (_nothing, _unset_neighbour),
    "qdisc": (_nothing, _unset_qdisc),
    "filter": (_nothing, _unset_filter),
}
