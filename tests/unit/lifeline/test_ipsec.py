"""SSH goes ahead of IPsec policies that let nothing through, and of no others."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.ipsec import (
    End,
    Ipsec,
    parse_keys,
    parse_policies,
)

# As iproute2 6.1 shows them.
ESP = """\
src 0.0.0.0/0 dst 192.0.2.5/32 \n\tdir in priority {priority} ptype main \n\tmark 0x5/0x7 \n\
\ttmpl src 0.0.0.0 dst 0.0.0.0\n\t\tproto esp reqid 4 mode transport
"""
USED_IF_THERE = """\
src 0.0.0.0/0 dst 0.0.0.0/0 \n\tdir in priority 7 ptype main \n\ttmpl src 192.0.2.9 dst 192.0.2.5\n\
\t\tproto esp reqid 4 mode tunnel\n\t\tlevel use \n"""
FORWARDED = ESP.format(priority=7).replace("dir in", "dir fwd")
BLOCKED = "src 0.0.0.0/0 dst 0.0.0.0/0 proto tcp dport 22 \n\tdir in action block priority 0 ptype main \n"
OWN = """\
src 192.0.2.5/32 dst 203.0.113.7/32 proto tcp sport 22 \n\tdir out priority 0 ptype main \n\
src 203.0.113.7/32 dst 192.0.2.5/32 proto tcp dport 22 \n\tdir in priority 0 ptype main \n"""
KEY = "src 192.0.2.9 dst 192.0.2.5\n\tproto esp spi 0x00000100 reqid 4 mode transport\n\treplay-window 0 \n"
DEFAULTS = "Default policies:\n in:  {word}\n fwd: accept\n out: accept\n"
ADMIN = End(version=4, address="192.0.2.5", networks=("203.0.113.7",), ports=(22,))
ANYBODY = End(version=4, address="192.0.2.5", networks=(), ports=(22,))
AHEAD = [
    "ip xfrm policy update src 203.0.113.7/32 dst 192.0.2.5/32 proto tcp dport 22 dir in priority 0",
    "ip xfrm policy update src 192.0.2.5/32 dst 203.0.113.7/32 proto tcp sport 22 dir out priority 0",
]


@dataclasses.dataclass
class Host:
    """Answers as `ip xfrm` does, and remembers what it was told to change."""

    policies: str = ""
    keys: str = ""
    default: str = "accept"
    ran: list[str] = dataclasses.field(default_factory=list)

    def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> CommandResult:
        del stdin, check
        shown = {
            ("policy", "show"): self.policies,
            ("state", "show"): self.keys,
            ("policy", "getdefault"): DEFAULTS.format(word=self.default),
        }
        words = (argv[2], argv[3])
        if words not in shown:
            self.ran.append(" ".join(argv))
        return CommandResult(argv=tuple(argv), rc=0, stdout=shown.get(words, ""), stderr="")


def let_through(host: Host, end: End = ADMIN, good: t.Collection[str] = ()) -> list[str]:
    ran = Ipsec(runner=host).let_ssh_through([end], good=good)
    assert ran == host.ran
    return ran


def test_a_policy_without_a_key_stays_behind_ssh() -> None:
    assert let_through(Host(ESP.format(priority=7))) == AHEAD


def test_one_in_the_first_place_steps_back_as_it_is() -> None:
    back, *ahead = let_through(Host(ESP.format(priority=0)))
    assert back == (
        "ip xfrm policy update src 0.0.0.0/0 dst 192.0.2.5/32 dir in priority 1 ptype main mark 0x5 mask 0x7"
        " tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 4 mode transport"
    )
    assert ahead == AHEAD


@pytest.mark.parametrize(
    "host",
    [
        Host(),
        Host(ESP.format(priority=0), keys=KEY),  # admins may come by it
        Host(USED_IF_THERE),
        Host(FORWARDED),
        Host(ESP.format(priority=0).replace("src 0.0.0.0/0", "src 198.51.100.0/24")),  # about others
        Host(ESP.format(priority=0).replace("192.0.2.5/32", "192.0.2.6/32")),
        Host(ESP.format(priority=0).replace("192.0.2.5/32 ", "192.0.2.5/32 proto tcp dport 80 ")),
        Host(ESP.format(priority=0).replace("192.0.2.5/32 ", "192.0.2.5/32 proto udp ")),
        Host(ESP.format(priority=0).replace("0.0.0.0/0 dst 192.0.2.5/32", "::/0 dst 2001:db8::5/128")),
        Host(OWN),
        Host(OWN + ESP.format(priority=1)),
    ],
)
def test_nothing_is_touched_where_it_would_not_help(host: Host) -> None:
    assert let_through(host) == []


def test_a_policy_by_which_a_login_has_worked_stays_as_it_is() -> None:
    good = Ipsec(runner=Host(ESP.format(priority=0))).look(good=[])
    assert let_through(Host(ESP.format(priority=0)), good=good) == []


def test_a_login_ahead_of_a_policy_proves_nothing_of_it() -> None:
    host = Host(ESP.format(priority=7))
    ipsec = Ipsec(runner=host)
    assert ipsec.let_ssh_through([ADMIN], good=()) == AHEAD
    host.policies += OWN
    assert ipsec.look(good=["what was there before"]) == ["what was there before"]
    assert ipsec.is_needed([ADMIN], good=["what was there before"])


@pytest.mark.parametrize(
    "key",
    [
        KEY.replace("reqid 4", "reqid 5"),
        KEY.replace("transport", "tunnel"),
        KEY.replace("0x00000100", "0x00000000"),  # only asked for, of a peer who does not answer
    ],
)
def test_a_key_for_something_else_does_not_count(key: str) -> None:
    assert let_through(Host(ESP.format(priority=7), keys=key)) == AHEAD


def test_what_blocks_outright_or_by_default() -> None:
    assert let_through(Host(default="block")) == AHEAD
    back, *ahead = let_through(Host(BLOCKED), ANYBODY)
    assert "action block priority 1" in back
    assert ahead[0] == "ip xfrm policy update src 0.0.0.0/0 dst 192.0.2.5/32 proto tcp dport 22 dir in priority 0"


def test_neighbours_find_each_other_in_ipv6_as_well() -> None:
    ran = let_through(Host(default="block"), End(6, "2001:db8::5", ("2001:db8:1::/48",), (22, 2222)))
    assert sum("proto tcp" in each for each in ran) == 4
    neighbours = [each for each in ran if "ipv6-icmp" in each]
    assert "ip xfrm policy update src ::/0 dst ::/0 proto ipv6-icmp type 135 dir in priority 0" in neighbours
    assert len(neighbours) == len(ran) - 4 == 8


def test_only_its_own_are_taken_back() -> None:
    host = Host(OWN + ESP.format(priority=1) + BLOCKED)
    Ipsec(runner=host).release([ADMIN])
    assert host.ran == [
        "ip xfrm policy delete src 192.0.2.5/32 dst 203.0.113.7/32 proto tcp sport 22 dir out",
        "ip xfrm policy delete src 203.0.113.7/32 dst 192.0.2.5/32 proto tcp dport 22 dir in",
    ]


def test_they_are_needed_until_a_key_is_agreed_on() -> None:
    host = Host(OWN + ESP.format(priority=1))
    ipsec = Ipsec(runner=host)
    assert ipsec.is_needed([ADMIN], good=())  # nothing was put ahead, as far as it knows
    ipsec.adopt([ADMIN])
    assert ipsec.is_needed([ADMIN], good=())
    host.keys = KEY
    assert not ipsec.is_needed([ADMIN], good=())


def test_reading() -> None:
    shown = ESP + BLOCKED + "src 0.0.0.0/0 dst 0.0.0.0/0 \n\tsocket in priority 0 ptype main \n"
    assert [each.direction for each in parse_policies(shown)] == ["in", "in"]
    assert parse_keys(KEY) == {("esp", "4", "transport")}
