# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a new SSH connection from outside gets an answer, seen from this host itself.

A connection to one's own address takes the loopback interface and none of the rules for the real one: such a probe
lies. This one lives in a network namespace. What it sends is handed to the real interface as if it had come in there,
from an address of the admins' networks, and what this host answers is caught where it would leave. So it passes every
hook, filter and route that a real client's packets pass; only the wire is left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import ipaddress
import os
import random
import select
import socket
import struct
import threading
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network import OWN_FILTERS, OWN_LINK
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.trial import CLONE_NEWNET

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network import State
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

NAMESPACE = "ssh-lifeline"
INNER_LINK = "probe0"
# Ports that no client of another host uses, so that no answer to a real one is ever caught: 992 to 1007.
FIRST_PORT, PORT_MASK = 992, 0xFFF0
# Apart from each other: where a login has just ended, the answer to a knock meets what is left of it, so it is not
# refused, stays half-open on the server for a minute, and the next knock from there would be met with silence.
KNOCK_PORTS, LOGIN_PORTS = range(992, 1000), range(1000, 1008)
# Of the blocks for documentation (RFC 5737, RFC 3849): where SSH is open to anywhere, any address will do.
ANYWHERE = {4: "198.51.100.22", 6: "2001:db8:22::22"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
SYSFS = Path("/sys/class/net")
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
REPLY_PORT, REPLY_BYTES = 40000, 1000
EVERYTHING = ["match", "u32", "0", "0"]
IPV6_CHECKSUM = 7  # linux/in6.h: the kernel fills in the checksum at this offset
SYN, RST, ACK = 0x02, 0x04, 0x10
# A reply that may pass fewer routers dies on its way (systems begin with 64 and more), and a server that takes fewer
# bytes at a time takes minutes for a login.
LEAST_HOPS, LEAST_WINDOW = 8, 536
TCP_HEADER = struct.Struct("!HHIIBBHHH")
HOP_LIMIT = struct.Struct("=i")

CONNECT_SECONDS = 2.5  # the kernel answers at once; a packet that was lost is sent again after a second

OPEN, REFUSED, SILENT, UNKNOWN = "open", "refused", "silent", "unknown"


@dataclasses.dataclass(frozen=True)
class Way:
    """One IP version's way in: the device, the address that clients connect to, and the one the probe comes from."""

    version: int
    device: str
    address: str
    source: str
    on_link: bool


def choose_source(*, version: int, settings: Settings, local: str) -> tuple[str, bool] | None:
    """Return an address the probe may come from, and whether it is a neighbour's; None where there is none.

    :arg local: This host's address with its prefix length.
    """
    if not settings.admin_cidrs:
        return ANYWHERE[version], False
    link = ipaddress.ip_interface(local).network
    for text in settings.networks(version):
        network = ipaddress.ip_network(text, strict=False)
        if network.num_addresses < 4:  # somebody's own address: his answers must not be caught
            continue
        address = network[-2]
        return str(address), address in link
    return None


def find_ways(*, state: State, settings: Settings) -> list[Way]:
    """Return the ways in: for each IP version the first global address, on the device of the default route if any."""
    ways = []
    for version in (4, 6):
        default = next((line.split() for line in state.get(f"route{version}", []) if line.startswith("default ")), [])
        preferred = default[default.index("dev") + 1] if "dev" in default else ""
        places = [
            (words[2], words[0])
            for words in (line.split() for line in state.get("address", []))
            if ipaddress.ip_interface(words[0]).version == version
        ]
        places.sort(key=lambda place: place[0] != preferred)
        for device, local in places[:1]:
            source = choose_source(version=version, settings=settings, local=local)
            if source is not None and settings.admits(version):
                ways.append(Way(version, device, local.split("/")[0], *source))
    return ways


def setup_commands(*, ways: t.Sequence[Way], port: int, mac: str) -> list[list[str]]:
    """Return the commands that lay the probe's way in."""
    inside = ["ip", "-netns", NAMESPACE]
    nft = (
        f"add table netdev {NAMESPACE}; add chain netdev {NAMESPACE} ingress {{ type filter hook ingress device"
        f' "{INNER_LINK}" priority 0; policy accept; }}; add rule netdev {NAMESPACE} ingress meta pkttype set host'
    )
    redirect = ["action", "mirred", "ingress", "redirect", "dev", ways[0].device]
    argvs = [
        ["ip", "netns", "add", NAMESPACE],
        # The real device's hardware address: what comes out here is taken for the host's own without further ado.
        ["ip", "link", "add", OWN_LINK, "address", mac, "type", "veth", "peer", "name", INNER_LINK, "netns", NAMESPACE],
        ["ip", "link", "set", OWN_LINK, "addrgenmode", "none"],
        ["ip", "link", "set", OWN_LINK, "up"],
        [*inside, "link", "set", INNER_LINK, "up"],
        ["tc", "qdisc", "add", "dev", OWN_LINK, "clsact"],
        ["tc", "filter", "add", "dev", OWN_LINK, "ingress", "protocol", "all", "u32", *EVERYTHING, *redirect],
        # An answer is addressed to the gateway's hardware; in here it is for us.
        ["ip", "netns", "exec", NAMESPACE, "nft", nft],
    ]
    for way in ways:
        argvs += _way_commands(way=way, port=port, mac=mac, inside=inside)
    return argvs


def _way_commands(*, way: Way, port: int, mac: str, inside: list[str]) -> list[list[str]]:
    bits, kind, protocol = (32, "ip", "ip") if way.version == 4 else (128, "ip6", "ipv6")
    nodad = [] if way.version == 4 else ["nodad"]
    match = ["u32", "match", kind, "dst", f"{way.source}/{bits}", "match", kind, "protocol", "6", "0xff"]
    match += ["match", kind, "sport", str(port), "0xffff", "match", kind, "dport", str(FIRST_PORT), f"{PORT_MASK:#x}"]
    match += ["action", "mirred", "egress", "redirect", "dev", OWN_LINK]
    preference = ["pref", OWN_FILTERS[way.version]]
    neighbour = ["ip", "neigh", "replace", way.source, "lladdr", mac, "dev", way.device, "nud", "permanent"]
    return [
        [*inside, "address", "add", f"{way.source}/{bits}", "dev", INNER_LINK, *nodad],
        [*inside, "route", "add", f"{way.address}/{bits}", "dev", INNER_LINK, "src", way.source],
        [*inside, "neigh", "replace", way.address, "lladdr", mac, "dev", INNER_LINK, "nud", "permanent"],
        ["tc", "filter", "add", "dev", way.device, "egress", "protocol", protocol, *preference, *match],
        *([neighbour] if way.on_link else []),
    ]


def is_laid() -> bool:
    """Tell whether some process keeps a way in."""
    return Path(f"/run/netns/{NAMESPACE}").exists() and (SYSFS / OWN_LINK).exists()


class Probe:
    """The probe of this host, as long as the process lives."""

    def __init__(self, *, runner: CommandRunner, ways: t.Sequence[Way], port: int) -> None:
        self.ways = list(ways)
        self.port = port
        self._runner = runner
        self._sockets: dict[int, socket.socket] = {}

    def set_up(self) -> None:
        """Lay the way in anew.

        :raises WebstackError: when this kernel or container does not allow it.
        """
        self.tear_down()
        if not self.ways:
            raise WebstackError("this host has no global address")
        try:
            self._lay()
        except (OSError, WebstackError) as error:
            self.tear_down()
            raise WebstackError(str(error)) from error

    def _lay(self) -> None:
        mac = (SYSFS / self.ways[0].device / "address").read_text(encoding="ascii").strip()
        # It may be there already, with somebody else's filters.
        for device in {way.device for way in self.ways}:
            self._runner.run(["tc", "qdisc", "add", "dev", device, "clsact"], check=False)
        for argv in setup_commands(ways=self.ways, port=self.port, mac=mac):
            self._runner.run(argv)
        self._sockets = {way.version: raw_socket(way) for way in self.ways}

    def tear_down(self) -> None:
        """Take away what an earlier process or an earlier address has left."""
        for held in self._sockets.values():
            held.close()
        self._sockets = {}
        for way in self.ways:
            preference = OWN_FILTERS[way.version]
            self._runner.run(["tc", "filter", "del", "dev", way.device, "egress", "pref", preference], check=False)
        self._runner.run(["ip", "link", "del", OWN_LINK], check=False)
        self._runner.run(["ip", "netns", "del", NAMESPACE], check=False)

    def knock(self, *, seconds: float) -> dict[int, str]:
        """Send one SYN by each way and tell, by IP version, what comes back within that time.

        sshd never hears of it, since the handshake is not finished.
        """
        asked: dict[socket.socket, tuple[int, int, int]] = {}
        answers = {way.version: UNKNOWN for way in self.ways}
        for way in self.ways:
            held = self._sockets.get(way.version)
            if held is None:
                continue
            drain(held)
            local, sequence = random.choice(KNOCK_PORTS), random.randrange(1 << 32)
            segment = syn_segment(way=way, local=local, port=self.port, sequence=sequence)
            with contextlib.suppress(OSError):
                if held.sendto(segment, (way.address, 0)):
                    asked[held] = (way.version, local, sequence)
                    answers[way.version] = SILENT
        deadline = time.monotonic() + seconds
        while asked:
            ready = select.select(list(asked), [], [], max(0.0, deadline - time.monotonic()))[0]
            for held in ready:
                version, local, sequence = asked[held]
                packet, beside, *_rest = held.recvmsg(4096, socket.CMSG_SPACE(HOP_LIMIT.size))
                answer = classify(packet, version=version, local=local, port=self.port, sequence=sequence)
                if answer:
                    usable = answer != OPEN or is_usable(packet, beside, version=version)
                    answers[version] = answer if usable else SILENT
                    del asked[held]
            if not ready:
                break
        return answers


def drain(held: socket.socket) -> None:
    """Throw away what came in meanwhile: it sees the packets of logins as well, and a full buffer takes no answer."""
    with contextlib.suppress(BlockingIOError):
        while True:
            held.recv(1, socket.MSG_DONTWAIT)


def syn_segment(*, way: Way, local: int, port: int, sequence: int) -> bytes:
    """Return a TCP segment that asks for a connection."""
    header = TCP_HEADER.pack(local, port, sequence, 0, 5 << 4, SYN, 64240, 0, 0)
    if way.version == 6:  # the kernel fills it in
        return header
    pseudo = socket.inet_aton(way.source) + socket.inet_aton(way.address) + struct.pack("!BBH", 0, 6, len(header))
    return header[:16] + struct.pack("!H", checksum(pseudo + header)) + header[18:]


def reply_frame(*, way: Way, port: int) -> bytes:
    """Return an Ethernet frame with a reply to an admin, as it leaves."""
    kind, packet = reply_packet(way=way, port=port)
    return bytes(6) + hardware_address(way.device) + kind.to_bytes(2, "big") + packet


def hardware_address(device: str) -> bytes:
    """Return a device's hardware address."""
    return bytes.fromhex((SYSFS / device / "address").read_text(encoding="ascii").replace(":", ""))


def syn_frame(*, way: Way, port: int) -> bytes:
    """Return an Ethernet frame with an admin's SYN, as it would come in from the wire."""
    segment = syn_segment(way=way, local=FIRST_PORT, port=port, sequence=1)
    packet = ip_packet(version=way.version, source=way.source, target=way.address, segment=segment)
    return hardware_address(way.device) + bytes(6) + ETHERTYPE[way.version].to_bytes(2, "big") + packet


def reply_packet(*, way: Way, port: int) -> tuple[int, bytes]:
    """Return a large packet as this host's server sends it to an admin, with Ethernet's type of it.

    It is to a port that the probe does not catch answers to.
    """
    segment = TCP_HEADER.pack(port, REPLY_PORT, 1, 1, 5 << 4, RST | ACK, 64240, 0, 0) + bytes(REPLY_BYTES)
    packet = ip_packet(version=way.version, source=way.address, target=way.source, segment=segment)
    return ETHERTYPE[way.version], packet


def ip_packet(*, version: int, source: str, target: str, segment: bytes) -> bytes:
    """Return a packet that carries a TCP segment."""
    ends = b"".join(socket.inet_pton(FAMILY[version], address) for address in (source, target))
    if version == 6:
        return struct.pack("!IHBB", 6 << 28, len(segment), 6, 64) + ends + segment
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0) + ends
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + segment


def checksum(data: bytes) -> int:
    """Return the Internet checksum of an even number of bytes (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def classify(packet: bytes, *, version: int, local: int, port: int, sequence: int) -> str:
    """Tell what a packet means to the SYN that was sent; an empty text for one that is about something else."""
    start = header_bytes(packet, version=version)
    if len(packet) < start + TCP_HEADER.size:
        return ""
    source, target, _own, acknowledged, _offset, flags, *_rest = TCP_HEADER.unpack_from(packet, start)
    if (source, target) != (port, local) or acknowledged != (sequence + 1) % (1 << 32):
        return ""
    if flags & RST:
        return REFUSED
    return OPEN if flags & (SYN | ACK) == SYN | ACK else ""


def is_usable(packet: bytes, beside: t.Iterable[tuple[int, int, bytes]], *, version: int) -> bool:
    """Tell whether a connection with such an answer is of any use.

    :arg beside: What came beside a packet of IPv6, which comes without the header that tells how far it may go.
    """
    hops = [HOP_LIMIT.unpack(value)[0] for _level, kind, value in beside if kind == socket.IPV6_HOPLIMIT]
    hops += [packet[8]] if version == 4 else []
    window = TCP_HEADER.unpack_from(packet, header_bytes(packet, version=version))[6]
    return bool(min(hops, default=LEAST_HOPS) >= LEAST_HOPS and window >= LEAST_WINDOW)


def header_bytes(packet: bytes, *, version: int) -> int:
    """Return how long the header ahead of TCP's is in what a raw socket gives."""
    return (packet[0] & 0x0F) * 4 if version == 4 and packet else 0


def in_namespace(make: t.Callable[[], socket.socket]) -> socket.socket:
    """Return a socket that was made inside the namespace.

    A thread of its own goes there: a socket stays where it was made, and so does this process.

    :raises WebstackError: when there is no namespace, or no socket to be had in it.
    """
    made: list[socket.socket | OSError] = []

    def go() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            with Path(f"/run/netns/{NAMESPACE}").open("rb") as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(make())
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise WebstackError(f"no connection from the probe's namespace: {made[0]}")
    return made[0]


def raw_socket(way: Way) -> socket.socket:
    """Return a socket for TCP segments inside the namespace."""

    def make() -> socket.socket:
        held = socket.socket(FAMILY[way.version], socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_TCP)
        if way.version == 6:
            held.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, 16)
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        held.bind((way.source, 0))
        return held

    return in_namespace(make)


def connect(way: Way, *, port: int, seconds: float = CONNECT_SECONDS) -> socket.socket:
    """Open a connection to the real server by a way in.

    :raises WebstackError: when there is no connection to be had.
    """
    return in_namespace(lambda: _connect(way, port=port, seconds=seconds))


def _connect(way: Way, *, port: int, seconds: float) -> socket.socket:
    ports = list(LOGIN_PORTS)
    random.shuffle(ports)
    for number, local in enumerate(ports):
        connection = socket.socket(FAMILY[way.version], socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.settimeout(seconds)
        try:
            connection.bind((way.source, local))
            connection.connect((way.address, port))
        except OSError as error:
            connection.close()
            # In use by the connection before: try the next.
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL) or number == len(ports) - 1:
                raise
        else:
            connection.settimeout(None)
            return connection
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
