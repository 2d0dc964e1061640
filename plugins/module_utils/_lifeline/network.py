# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses, routes and links as lines of text, and the commands that lead from one state back to another."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import bpf

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

# The probe's end on this host, which belongs to no state.
OWN_LINK = "lifeline0"
OWN_FILTERS = {4: "1", 6: "2"}  # the preference of each IP version's, on the way out
ROUNDS = 4
ANSWERED = ("REACHABLE", "STALE", "DELAY", "PROBE")
ANSWER_SECONDS = 4.0  # the kernel asks three times, a second apart
IFF_NOARP, IFF_MULTICAST = 0x80, 0x1000
ANSWERS_NOBODY = ("3", "4", "5", "6", "7", "8")  # of arp_ignore: reserved, and what no server has use for
SYSCTLS = {
    "ipv4": ("rp_filter", "arp_ignore", "arp_filter", "drop_gratuitous_arp"),
    "ipv6": ("disable_ipv6", "accept_ra", "hop_limit"),
}
HOST_SYSCTLS = ("ipv4/ip_default_ttl", "ipv4/tcp_rmem", "ipv4/tcp_wmem")  # TCP's are those of IPv6 as well
TAKES_PACKETS = ("macvlan", "macvtap", "ipvlan", "ipvtap")  # kinds of links
# What the kernel adds to a route for us to see, and does not take back.
PASSING = re.compile(r" (linkdown|dead|expires \d+sec|error -?\d+|offload|trap|rt_offload|rt_trap)\b")
# The kernel's own metric of 0 cannot be given: a route that is put back has the usual one.
LOCAL_METRIC = re.compile(r"( table local .*) metric (?:0|1024)\b")

State = t.Dict[str, t.List[str]]  # noqa: UP006 (evaluated on Python 3.8)


class Network:
    """The network of this host."""

    def __init__(
        self, *, runner: CommandRunner, proc: Path = Path("/proc/sys/net"), namespaces: Path = Path("/")
    ) -> None:
        self._runner = runner
        self._proc = proc
        self._namespaces = namespaces

    def look(self) -> State:
        """Return the state: lines by kind, as `ip` writes and (behind a verb) reads them."""
        addresses = self._json("ip", "-json", "address", "show", "scope", "global")
        beside = self._json("ip", "-json", "address", "show", "scope", "link")
        devices = sorted({each["ifname"] for each in addresses if each.get("ifname") not in (None, OWN_LINK)})
        links = self._json("ip", "-json", "-details", "link", "show")
        return {
            "upper": [line for each in links for line in upper_lines(each, devices)],
            "link": [line for each in links if each.get("ifname") in devices for line in link_lines(each)],
            "sysctl": self._sysctls(devices),
            "address": address_lines(addresses, devices),
            "linklocal": address_lines(beside, devices),
            "route4": self._lines("ip", "-4", "route", "show", "table", "all"),
            "route6": self._lines("ip", "-6", "route", "show", "table", "all"),
            "gateway": self._answering(),
            "rule4": self._lines("ip", "-4", "rule", "show"),
            "rule6": self._lines("ip", "-6", "rule", "show"),
            "neighbour": self._neighbours(),
            "qdisc": [line for device in devices for line in self._qdiscs(device)],
            "filter": [line for device in devices for line in self._filters(device)],
        }

    def _answering(self) -> list[str]:
        """Return the gateways whose hardware address is known, hence which answered: ``ADDRESS dev DEVICE``."""
        routes = [line.split() for v in ("-4", "-6") for line in self._lines("ip", v, "route", "show", "default")]
        gateways = {(each[each.index("via") + 1], each[each.index("dev") + 1]) for each in routes if "via" in each}
        known = [line.split() for line in self._lines("ip", "neigh", "show")]
        return sorted(
            f"{address} dev {device}"
            for address, device in gateways
            for each in known
            if each[:3] == [address, "dev", device] and "lladdr" in each and each[-1] in ANSWERED
        )

    def unanswered(self, gateways: t.Sequence[str]) -> list[str]:
        """Ask gateways for their hardware address, and return those that do not answer."""
        for line in gateways:
            address, *place = line.split()
            # Asked by whom it was before, without forgetting it meanwhile.
            self._runner.run(["ip", "neigh", "change", address, *place, "nud", "probe"], check=False)
        end = time.monotonic() + ANSWER_SECONDS
        left = list(gateways)
        while left and time.monotonic() < end:
            time.sleep(0.05)
            states = {" ".join(words[:3]): words[-1] for words in map(str.split, self._lines("ip", "neigh", "show"))}
            left = [line for line in left if states.get(line) in ("PROBE", "FAILED", "INCOMPLETE")]
            if left and all(states.get(line) == "FAILED" for line in left):
                break
        return left

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

    def herald(self, device: str) -> None:
        """Have the kernel tell neighbours of another hardware address: they go on sending to the old one otherwise."""
        for setting in ("ipv4/conf/{}/arp_notify", "ipv6/conf/{}/ndisc_notify"):
            with contextlib.suppress(OSError):  # no such version of IP here
                (self._proc / setting.format(device)).write_text("1", encoding="ascii")

    def answer_neighbours(self, device: str, *, good: State, sysfs: Path = Path("/sys/class/net")) -> list[str]:
        """Have a device that did so before answer questions for its address, and return the commands that it took."""
        if f"{device} arp on" not in good.get("link", []):
            return []
        flags = int(read_text(sysfs / device / "flags") or "0x1000", 16)
        argvs = [
            *([["ip", "link", "set", "dev", device, "arp", "on"]] if flags & IFF_NOARP else []),
            *([["ip", "link", "set", "dev", device, "multicast", "on"]] if not flags & IFF_MULTICAST else []),
            *(
                ["sysctl", "--quiet", "--write", f"net/ipv4/conf/{name}/arp_ignore=0"]
                for name in ("all", device)
                if read_text(self._proc / "ipv4" / "conf" / name / "arp_ignore") in ANSWERS_NOBODY
            ),
        ]
        return [" ".join(argv) for argv in self._run(argvs)]

    def has_strange_way_out(self, device: str, *, good: State) -> bool:
        """Tell whether a device has another queue than it had before, or a filter ahead of it that it had not."""
        return bool(good) and bool(self._strange_way_out(device, good))

    def clear_way_out(self, device: str, *, good: State) -> list[str]:
        """Have a device get the queue that the kernel gives to each, and no strange filter; return the commands."""
        return [" ".join(argv) for argv in self._run(self._strange_way_out(device, good))]

    def _strange_way_out(self, device: str, good: State) -> list[list[str]]:
        queues = [line for line in self._qdiscs(device) if line not in good.get("qdisc", [])]
        filters = [line for line in self._filters(device) if line not in good.get("filter", []) and " egress " in line]
        return [argv for line in queues for argv in _unset_qdisc(line)] + [
            argv for line in filters for argv in _unset_filter(line)
        ]

    def _xdp_programs(self, device: str) -> list[int]:
        """Return the ids of the XDP programs that run on a device's packets."""
        found = [each["xdp"] for each in self._json("ip", "-json", "link", "show", "dev", device) if "xdp" in each]
        modes = [mode for each in found for mode in (each, *each.get("attached", []))]
        return sorted({int(mode["prog"]["id"]) for mode in modes if "prog" in mode})

    def take_programs_off(self, device: str, *, coming: t.Sequence[bytes], going: t.Sequence[bytes]) -> bool:
        """Have no program of eBPF run on a device's packets that lets one of these frames vanish.

        :returns: Whether there was one.
        """
        index = socket.if_nametoindex(device)
        programs = self._xdp_programs(device)
        dropping = any(bpf.drops(program, coming) for program in programs)
        if dropping:
            self._run(_unset_link(f"{device} xdp on"))
            bpf.cut_links(index, programs)
        taken = bpf.take_off_tcx(index, coming, way=bpf.TCX_INGRESS)
        taken += bpf.take_off_tcx(index, going, way=bpf.TCX_EGRESS)
        return dropping or bool(taken)

    def restore(self, *, good: State) -> list[str]:
        """Go back to a state and return the commands it took."""
        ran = self._run(self._bring_back(good))
        now = self.look()
        for number in range(ROUNDS):  # one thing leads to another: an address to its routes, these to a gateway
            # The kernel fills the table `local` by itself, where it does so at all.
            wanted = good if number else without_local(good, now)
            argvs = commands(good=wanted, now=now)
            if not argvs and number:
                break
            ran += self._run(argvs)
            now = self.look()
            ran += self._run(down_and_up(good=good, now=now))
        return list(dict.fromkeys(" ".join(argv) for argv in ran))

    def _run(self, argvs: list[list[str]]) -> list[list[str]]:
        for argv in argvs:
            self._runner.run(argv, check=False)
        return argvs

    def _bring_back(self, good: State) -> list[list[str]]:
        """Return the commands that bring back devices which have another name, or are in another namespace."""
        here = hardware(self._json("ip", "-json", "link", "show"))
        argvs: list[list[str]] = []
        for name, address in known_hardware(good).items():
            if name in here:
                continue
            renamed = [other for other, its in here.items() if its == address and other != OWN_LINK]
            if renamed:
                argvs += _rename(renamed[0], name)
                continue
            for place in other_namespaces(self._namespaces):
                enter = ["nsenter", f"--net={place}"]
                there = hardware(self._json(*enter, "ip", "-json", "link", "show"))
                found = [other for other, its in there.items() if its == address]
                if found:
                    argvs.append([*enter, "ip", "link", "set", "dev", found[0], "netns", str(os.getpid())])
                    argvs += _rename(found[0], name) if found[0] != name else []
                    break
        return argvs

    def _json(self, *argv: str) -> list[dict[str, t.Any]]:
        try:
            found: list[dict[str, t.Any]] = json.loads(self._runner.run(list(argv), check=False).stdout or "[]")
        except ValueError:
            return []
        return found

    def _lines(self, *argv: str) -> list[str]:
        text = self._runner.run(list(argv), check=False).stdout
        lines = (PASSING.sub("", line).replace("\t", " ").strip() for line in text.splitlines())
        lines = (LOCAL_METRIC.sub(r"\1", line) for line in lines)
        return [line for line in lines if line and f"dev {OWN_LINK}" not in line and not line.startswith("fe80::/")]

    def _sysctls(self, devices: t.Iterable[str]) -> list[str]:
        names = [
            *HOST_SYSCTLS,
            *(
                f"{family}/conf/{device}/{name}"
                for device in ("all", *devices)
                for family, each in SYSCTLS.items()
                for name in each
            ),
        ]
        values = {name: read_text(self._proc / name) for name in names}
        return [f"net/{name}={' '.join(value.split())}" for name, value in values.items() if value]

    def _qdiscs(self, device: str) -> list[str]:
        shown = self._lines("tc", "qdisc", "show", "dev", device)
        words = (line.split() for line in shown if " root " in f"{line} ")
        return [f"{device} root {each[1]}" for each in words]

    def _filters(self, device: str) -> list[str]:
        found = []
        for way in ("ingress", "egress"):
            shown = self._lines("tc", "filter", "show", "dev", device, way)
            found += filter_lines(shown, device=device, way=way)
        return found


def filter_lines(shown: t.Iterable[str], *, device: str, way: str) -> list[str]:
    """Return the filters that `tc` shows, but for those of the probe."""
    own = OWN_FILTERS.values() if way == "egress" else ()
    prefs = {match[1] for line in shown if (match := re.search(r"\bpref (\d+)\b", line))}
    return [f"{device} {way} {pref}" for pref in sorted(prefs) if pref not in own]


def read_text(path: Path) -> str:
    """Return what a file of the kernel holds, an empty text where there is no such file."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def devices() -> set[str]:
    """Return the names of the devices of this host."""
    return {name for _index, name in socket.if_nameindex()}


def link_lines(link: t.Mapping[str, t.Any]) -> list[str]:
    """Return what of a link counts."""
    name, flags = link["ifname"], link.get("flags", [])
    return [
        f"{name} {'up' if 'UP' in flags else 'down'}",
        f"{name} arp {'off' if 'NOARP' in flags else 'on'}",
        f"{name} mtu {link.get('mtu')}",
        f"{name} address {link.get('address')}",
        f"{name} master {link.get('master', '-')}",
        *([f"{name} xdp on"] if link.get("xdp") else []),
    ]


def upper_lines(link: t.Mapping[str, t.Any], devices: t.Collection[str]) -> list[str]:
    """Return a link that takes packets away from one of the devices, with its name."""
    kind = link.get("linkinfo", {}).get("info_kind")
    return [f"{link['ifname']} over {link['link']}"] if kind in TAKES_PACKETS and link.get("link") in devices else []


def commands(*, good: State, now: State) -> list[list[str]]:
    """Return the commands that lead from ``now`` to ``good``, in an order in which they work."""
    argvs: list[list[str]] = []
    for kind, verbs in VERBS.items():
        before, after = now.get(kind, []), good.get(kind, [])
        argvs += [argv for line in before if line not in after for argv in verbs[1](line)]
        argvs += [argv for line in after if line not in before for argv in verbs[0](line)]
    return argvs


def address_lines(shown: t.Iterable[t.Mapping[str, t.Any]], devices: t.Collection[str]) -> list[str]:
    """Return the lasting addresses of some devices in the output of ``ip -json address``."""
    return [
        f"{info['local']}/{info['prefixlen']} dev {each['ifname']}"
        for each in shown
        if each.get("ifname") in devices
        for info in each.get("addr_info", [])
        if "local" in info and not info.get("temporary")
    ]


def without_local(good: State, now: State) -> State:
    """Return a good state in which the table `local` is what it is now."""
    found = dict(good)
    for kind in ("route4", "route6"):
        found[kind] = [line for line in good.get(kind, []) if " table local " not in line]
        found[kind] += [line for line in now.get(kind, []) if " table local " in line]
    return found


def down_and_up(*, good: State, now: State) -> list[list[str]]:
    """Return the commands for devices that change their hardware address only while they are down.

    They lose their IPv6 addresses then, and the routes by them.
    """
    here = known_hardware(now)
    return [
        ["ip", "link", "set", "dev", name, *words]
        for name, address in known_hardware(good).items()
        if here.get(name, address) != address
        for words in (["down"], ["address", address], ["up"])
    ]


def hardware(links: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, str]:
    """Return the hardware address of each device in the output of ``ip -json link``."""
    return {each["ifname"]: str(each.get("address")) for each in links if "ifname" in each}


def known_hardware(state: State) -> dict[str, str]:
    """Return the hardware address of each device of a state."""
    words = (line.split() for line in state.get("link", []))
    return {each[0]: each[2] for each in words if each[1] == "address"}


def other_namespaces(root: Path) -> list[Path]:
    """Return a path to every network namespace but this one, those with a name first.

    Those that any user can make, inside a user namespace of his own, hold no device of this host's.
    """
    own, own_users = ((root / "proc/self/ns" / kind).stat().st_ino for kind in ("net", "user"))
    found: dict[int, Path] = {}
    for path in (*root.glob("run/netns/*"), *root.glob("proc/[0-9]*/ns/net")):
        with contextlib.suppress(OSError):  # a process that ended meanwhile
            users = path.with_name("user") if path.name == "net" else None
            if users is None or users.stat().st_ino == own_users:
                found.setdefault(path.stat().st_ino, path)
    return [path for number, path in found.items() if number != own]


def _rename(old: str, new: str) -> list[list[str]]:
    return [["ip", "link", "set", "dev", old, *words] for words in (["down"], ["name", new])]


def _unset_upper(line: str) -> list[list[str]]:
    return [["ip", "link", "del", "dev", line.split(maxsplit=1)[0]]]


def _set_link(line: str) -> list[list[str]]:
    name, *words = line.split()
    if words[0] == "master":
        words = ["nomaster"] if words[1] == "-" else words
    return [["ip", "link", "set", "dev", name, *words]]


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
    "upper": (_nothing, _unset_upper),
    "link": (_set_link, _unset_link),
    "sysctl": (_set_sysctl, _nothing),
    "address": (_set_address, _nothing),
    "linklocal": (_set_address, _nothing),
    "rule4": (_rule("-4", "add"), _rule("-4", "del")),
    "rule6": (_rule("-6", "add"), _rule("-6", "del")),
    "route4": (_route("-4", "replace"), _route("-4", "del")),
    "route6": (_route("-6", "replace"), _route("-6", "del")),
    "neighbour": (_nothing, _unset_neighbour),
    "qdisc": (_nothing, _unset_qdisc),
    "filter": (_nothing, _unset_filter),
}
