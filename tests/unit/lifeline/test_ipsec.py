"""SSH goes ahead of IPsec policies that let nothing through, and of no others."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.ipsec import Ipsec, parse_keys, parse_policies
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

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
src 0.0.0.0/0 dst 203.0.113.7/32 proto tcp sport 22 \n\tdir out priority 0 ptype main \n\
src 203.0.113.7/32 dst 0.0.0.0/0 proto tcp dport 22 \n\tdir in priority 0 ptype main \n"""
KEY = "src 192.0.2.9 dst 192.0.2.5\n\tproto esp spi 0x00000100 reqid 4 mode transport\n\treplay-window 0 \n"
DEFAULTS = "Default policies:\n in:  {word}\n fwd: accept\n out: accept\n"
ADMIN = Settings(admin_cidrs=("203.0.113.7",))
AHEAD = [
    "ip xfrm policy update src 203.0.113.7/32 dst 0.0.0.0/0 proto tcp dport 22 dir in priority 0",
    "ip xfrm policy update src 0.0.0.0/0 dst 203.0.113.7/32 proto tcp sport 22 dir out priority 0",
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


def let_through(host: Host, settings: Settings = ADMIN) -> list[str]:
    ran = Ipsec(runner=host, settings=settings).let_ssh_through()
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
        Host(OWN),
        Host(OWN + ESP.format(priority=1)),
    ],
)
def test_nothing_is_touched_where_it_would_not_help(host: Host) -> None:
    assert let_through(host) == []


@pytest.mark.parametrize("key", [KEY.replace("reqid 4", "reqid 5"), KEY.replace("transport", "tunnel")])
def test_a_key_for_something_else_does_not_count(key: str) -> None:
    assert let_through(Host(ESP.format(priority=7), keys=key)) == AHEAD


def test_what_blocks_outright_or_by_default() -> None:
    assert let_through(Host(default="block")) == AHEAD
    back, *ahead = let_through(Host(BLOCKED), Settings())
    assert "action block priority 1" in back
    assert ahead[0] == "ip xfrm policy update src 0.0.0.0/0 dst 0.0.0.0/0 proto tcp dport 22 dir in priority 0"


def test_neighbours_find_each_other_in_ipv6_as_well() -> None:
    ran = let_through(Host(default="block"), Settings(admin_cidrs=("2001:db8:1::/48",), ports=(22, 2222)))
    assert sum("proto tcp" in each for each in ran) == 4
    neighbours = [each for each in ran if "ipv6-icmp" in each]
    assert "ip xfrm policy update src ::/0 dst ::/0 proto ipv6-icmp type 135 dir in priority 0" in neighbours
    assert len(neighbours) == len(ran) - 4 == 8


def test_only_its_own_are_taken_back() -> None:
    host = Host(OWN + ESP.format(priority=1) + BLOCKED)
    Ipsec(runner=host, settings=ADMIN).release()
    assert host.ran == [
        "ip xfrm policy delete src 0.0.0.0/0 dst 203.0.113.7/32 proto tcp sport 22 dir out",
        "ip xfrm policy delete src 203.0.113.7/32 dst 0.0.0.0/0 proto tcp dport 22 dir in",
    ]


def test_reading() -> None:
    shown = ESP + BLOCKED + "src 0.0.0.0/0 dst 0.0.0.0/0 \n\tsocket in priority 0 ptype main \n"
    assert [each.direction for each in parse_policies(shown)] == ["in", "in"]
    assert parse_keys(KEY) == {("esp", "4", "transport")}
