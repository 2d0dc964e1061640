"""The way back from one state of the network to another, and the probe that tells whether it is needed."""

from __future__ import annotations

import socket
import struct

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import probe, sockets, watch
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network import (
    State,
    commands,
    filter_lines,
    link_lines,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

GOOD: State = {
    "link": ["eth0 up", "eth0 arp on", "eth0 mtu 1500", "eth0 address 02:00:00:00:00:0b"],
    "address": ["192.0.2.11/24 dev eth0", "2001:db8::b/64 dev eth0"],
    "route4": ["default via 192.0.2.1 dev eth0 proto static", "192.0.2.0/24 dev eth0 proto kernel scope link"],
    "route6": ["default via 2001:db8::1 dev eth0 metric 100"],
    "rule4": ["0: from all lookup local", "32766: from all lookup main"],
    "neighbour": [],
    "qdisc": ["eth0 root noqueue"],
    "filter": [],
}


def words(state: State) -> list[str]:
    return [" ".join(argv) for argv in commands(good=GOOD, now={**GOOD, **state})]


def test_the_same_state_takes_no_command() -> None:
    assert words({}) == []


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({"link": ["eth0 down", *GOOD["link"][1:]]}, ["ip link set dev eth0 up"]),
        ({"link": [*GOOD["link"][:2], "eth0 mtu 68", GOOD["link"][3]]}, ["ip link set dev eth0 mtu 1500"]),
        ({"address": GOOD["address"][1:]}, ["ip address replace 192.0.2.11/24 dev eth0"]),
        ({"address": GOOD["address"][:1]}, ["ip address replace 2001:db8::b/64 dev eth0 nodad"]),
        ({"route4": GOOD["route4"][1:]}, ["ip -4 route replace default via 192.0.2.1 dev eth0 proto static"]),
        (
            {"route4": ["blackhole 198.51.100.0/24", *GOOD["route4"]]},
            ["ip -4 route del blackhole 198.51.100.0/24"],
        ),
        (
            {"rule4": ["0: from all lookup local", "10: from all prohibit", "32766: from all lookup main"]},
            ["ip -4 rule del pref 10 from all prohibit"],
        ),
        (
            {"neighbour": ["192.0.2.1 dev eth0 lladdr 02:de:ad:00:00:01 PERMANENT"]},
            ["ip neigh del 192.0.2.1 dev eth0"],
        ),
        ({"qdisc": ["eth0 root netem"]}, ["tc qdisc del dev eth0 root"]),
        ({"filter": ["eth0 ingress 49152"]}, ["tc filter del dev eth0 ingress pref 49152"]),
    ],
)
def test_what_was_changed_is_taken_back(now: State, expected: list[str]) -> None:
    assert words(now) == expected


def test_a_link_comes_before_what_needs_it() -> None:
    found = words({"link": ["eth0 down", *GOOD["link"][1:]], "address": [], "route4": []})
    assert found[0] == "ip link set dev eth0 up"
    assert [line.split()[1] for line in found] == ["link", "address", "address", "-4", "-4"]


def test_a_link_as_ip_describes_it() -> None:
    link = {"ifname": "eth0", "flags": ["UP", "NOARP"], "mtu": 1500, "address": "02:00:00:00:00:0b", "xdp": {"mode": 2}}
    assert link_lines(link)[1:] == [
        "eth0 arp off",
        "eth0 mtu 1500",
        "eth0 address 02:00:00:00:00:0b",
        "eth0 master -",
        "eth0 xdp on",
    ]


# -- the probe -------------------------------------------------------------------------


def test_the_probe_comes_from_where_the_admins_do() -> None:
    anywhere = Settings(accounts=("admin",))
    assert probe.choose_source(version=4, settings=anywhere, local="192.0.2.11/24") == ("198.51.100.22", False)
    admins = Settings(accounts=("admin",), admin_cidrs=("10.0.0.0/8",))
    assert probe.choose_source(version=4, settings=admins, local="192.0.2.11/24") == ("10.255.255.254", False)
    assert probe.choose_source(version=4, settings=admins, local="10.255.255.1/24") == ("10.255.255.254", True)
    # An admin's own address is his: answers to him must not be caught.
    alone = Settings(accounts=("admin",), admin_cidrs=("203.0.113.7/32",))
    assert probe.choose_source(version=4, settings=alone, local="192.0.2.11/24") is None


def test_a_way_in_is_on_the_device_of_the_default_route() -> None:
    state: State = {**GOOD, "address": ["10.9.0.1/24 dev docker0", *GOOD["address"]]}
    ways = probe.find_ways(state=state, settings=Settings(accounts=("admin",)))
    assert [(way.version, way.device, way.address) for way in ways] == [
        (4, "eth0", "192.0.2.11"),
        (6, "eth0", "2001:db8::b"),
    ]


def test_a_segment_has_the_right_checksum() -> None:
    way = probe.Way(version=4, device="eth0", address="192.0.2.11", source="198.51.100.22", on_link=False)
    segment = probe.syn_segment(way=way, local=1001, port=22, sequence=7)
    pseudo = socket.inet_aton(way.source) + socket.inet_aton(way.address) + struct.pack("!BBH", 0, 6, len(segment))
    # A receiver adds up everything, the checksum too, and gets nothing.
    assert probe.checksum(pseudo + segment) == 0


def test_a_knock_never_comes_from_where_a_login_has_ended() -> None:
    caught = {port for port in range(1 << 16) if port & probe.PORT_MASK == probe.FIRST_PORT}
    assert not set(probe.KNOCK_PORTS) & set(probe.LOGIN_PORTS)
    assert set(probe.KNOCK_PORTS) | set(probe.LOGIN_PORTS) == caught


def test_an_answer_is_not_lost_among_what_came_before_it() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.send(b"of a login")
    probe.drain(ours)
    theirs.send(b"the answer")
    assert ours.recv(100) == b"the answer"


def answer(*, flags: int, port: int = 22, local: int = 1001, acknowledged: int = 8) -> bytes:
    return bytes([0x45]) + bytes(19) + probe.TCP_HEADER.pack(port, local, 1, acknowledged, 5 << 4, flags, 0, 0, 0)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (answer(flags=probe.SYN | probe.ACK), probe.OPEN),
        (answer(flags=probe.RST | probe.ACK), probe.REFUSED),
        (answer(flags=probe.ACK), ""),
        (answer(flags=probe.SYN | probe.ACK, acknowledged=9), ""),
        (answer(flags=probe.SYN | probe.ACK, local=1002), ""),
        (b"", ""),
    ],
)
def test_what_an_answer_means(packet: bytes, expected: str) -> None:
    assert probe.classify(packet, version=4, local=1001, port=22, sequence=7) == expected


def syn_ack(*, hops: int = 64, window: int = 64240) -> bytes:
    head = bytes([0x45]) + bytes(7) + bytes([hops]) + bytes(11)
    return head + probe.TCP_HEADER.pack(22, 1001, 1, 8, 5 << 4, probe.SYN | probe.ACK, window, 0, 0)


def beside(hops: int) -> list[tuple[int, int, bytes]]:
    return [(socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("=i", hops))]


def test_an_answer_that_dies_at_the_first_router_is_of_no_use() -> None:
    """It is caught before it comes to one."""
    assert probe.is_usable(syn_ack(), [], version=4)
    assert not probe.is_usable(syn_ack(hops=1), [], version=4)
    assert probe.is_usable(syn_ack()[20:], beside(64), version=6)
    assert not probe.is_usable(syn_ack()[20:], beside(1), version=6)


def test_an_answer_of_a_server_that_takes_a_byte_at_a_time_is_of_no_use() -> None:
    assert not probe.is_usable(syn_ack(window=1), [], version=4)
    assert not probe.is_usable(syn_ack(window=1)[20:], beside(64), version=6)


# -- netlink ---------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "expected"), [(6, True), (8, True), (3, True), (12, False), (14, False)])
def test_only_the_structure_of_the_firewall_counts(kind: int, expected: bool) -> None:
    message = watch.NETLINK_HEADER.pack(watch.NETLINK_HEADER.size, watch.NFNL_SUBSYS_NFTABLES << 8 | kind, 0, 0, 0)
    assert watch.changes_structure(message) is expected
    assert watch.changes_structure(watch.OVERFLOW)
    assert not watch.changes_structure(b"")


def test_the_kernel_tells_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (found,) = sockets.listening(port)
        assert (found.address, found.port) == ("127.0.0.1", port)
    assert sockets.listening(port) == []


def test_the_filters_of_the_probe_are_no_change_of_the_network() -> None:
    shown = [f"filter protocol ip pref {pref} u32 chain 0" for pref in ("1", "2", "49152")]
    assert filter_lines(shown, device="eth0", way="egress") == ["eth0 egress 49152"]
    assert filter_lines(shown, device="eth0", way="ingress") == [f"eth0 ingress {n}" for n in ("1", "2", "49152")]
