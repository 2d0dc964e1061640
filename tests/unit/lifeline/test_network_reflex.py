"""What is taken away again and again comes back at once, and only then."""

from __future__ import annotations

import struct
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import network_reflex
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network_reflex import NetworkReflex

GOOD = {
    "link": ["eth0 up", "eth0 mtu 1500", "eth1 down"],
    "address": ["192.0.2.5/24 dev eth0", "2001:db8::5/64 dev eth0"],
    "route4": ["default via 192.0.2.1 dev eth0", "broadcast 192.0.2.255 dev eth0 table local"],
    "route6": ["default via fe80::1 dev eth0"],
}


def message(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def link(flags: int) -> bytes:
    return message(16, struct.pack("=BBHiII", 0, 0, 1, 2, flags, 0))


@pytest.mark.parametrize(
    ("data", "loss"),
    [
        (message(25), True),  # RTM_DELROUTE
        (message(21), True),  # RTM_DELADDR
        (message(24) + message(20), False),  # something new
        (link(0x1), False),
        (link(0x1) + link(0x0), True),
        (b"", False),
    ],
)
def test_what_the_kernel_tells_of_a_loss(data: bytes, loss: bool) -> None:
    assert network_reflex.tells_of_loss(data) == loss


def test_the_good_state_is_said_in_an_order_in_which_it_works() -> None:
    said = network_reflex.batches(GOOD)
    assert said["-4"].splitlines() == [
        "link set dev eth0 up",
        "address replace 192.0.2.5/24 dev eth0",
        "route replace default via 192.0.2.1 dev eth0",
    ]
    assert said["-6"].splitlines() == [
        "address replace 2001:db8::5/64 dev eth0 nodad",
        "route replace default via fe80::1 dev eth0",
    ]


def test_it_is_armed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(network_reflex.time, "monotonic", lambda: now[0])
    reflex = NetworkReflex(runner=t.cast("t.Any", None), good=dict)
    assert not reflex.is_armed
    assert reflex.arm(60)
    assert not reflex.arm(60)  # it goes on
    now[0] += 61
    assert not reflex.is_armed
