# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH put first again within a millisecond, wherever somebody goes ahead of it.

A look at the whole packet filter takes a tenth of a second, and has to wait while the guard tries a login. Who puts a
drop first every second would keep SSH closed for a tenth of the time, and clients, who repeat their packets every
second, may meet that time each time. So a thread hears what the kernel tells of rules, and hands it ours once more, as
the kernel itself has shown them: without a look, and without a command. The next look takes out what is there twice.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.sockets import (
    ATTRIBUTE,
    FAMILIES,
    HEADER,
    NETLINK_NETFILTER,
    NFGENMSG,
    NLM_F_DUMP_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    attributes,
    messages,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.watch import (
    LARGEST_READ,
    NFNL_SUBSYS_NFTABLES,
    NFNLGRP_NFTABLES,
    bit,
)

# linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
NLM_F_REQUEST, NLM_F_CREATE = 0x1, 0x400
BATCH_BEGIN, BATCH_END = 16, 17
NEW_CHAIN, NEW_RULE, GET_RULE = (NFNL_SUBSYS_NFTABLES << 8 | kind for kind in (3, 6, 7))
CHAIN_NAME, CHAIN_HOOK = 3, 4
RULE_TABLE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_POSITION, RULE_USERDATA = 1, 2, 4, 6, 7
TABLE = RULE_TABLE
NESTED = {RULE_EXPRESSIONS: 0x8000}
NUMBERS = {name: number for number, name in FAMILIES.items()}
PAUSE_SECONDS = 0.02  # between two acts: somebody else may want to be first as badly

Place = t.Tuple[str, str, str]  # noqa: UP006 (evaluated on Python 3.8)


def as_attributes(given: t.Mapping[int, bytes]) -> bytes:
    """Return attributes as a netlink message holds them."""
    packed = b""
    for kind, data in given.items():
        packed += ATTRIBUTE.pack(ATTRIBUTE.size + len(data), kind | NESTED.get(kind, 0)) + data + bytes(-len(data) % 4)
    return packed


def as_message(kind: int, flags: int, body: bytes, *, family: int = 0, resource: int = 0) -> bytes:
    """Return a message of nfnetlink."""
    head = NFGENMSG.pack(family, 0, socket.htons(resource))
    return HEADER.pack(HEADER.size + len(head) + len(body), kind, flags, 0, 0) + head + body


def as_batch(rules: t.Iterable[tuple[int, bytes]]) -> bytes:
    """Return the messages that insert rules, given by family and attributes in their order, ahead of all others."""
    # Each goes ahead of the one inserted before it.
    inserted = [as_message(NEW_RULE, NLM_F_REQUEST | NLM_F_CREATE, body, family=family) for family, body in rules][::-1]
    begin, end = (
        as_message(kind, NLM_F_REQUEST, b"", resource=NFNL_SUBSYS_NFTABLES) for kind in (BATCH_BEGIN, BATCH_END)
    )
    return begin + b"".join(inserted) + end


def overtaken(data: bytes, *, mark: bytes) -> set[Place]:
    """Return the chains, by family, table and name, that are new, or in which a rule of others has become the first.

    :arg data: Netlink messages of nftables.
    :arg mark: What the comment of each rule of ours begins with.
    """
    found = set()
    for kind, message in messages(data):
        if kind in (NEW_CHAIN, NEW_RULE) and mark not in message:
            given = attributes(message[NFGENMSG.size :])
            if RULE_POSITION not in given or kind == NEW_CHAIN:  # behind no other
                found.add(place_of(message[0], given, RULE_CHAIN if kind == NEW_RULE else CHAIN_NAME))
    return found


def new_hooks(data: bytes) -> set[Place]:
    """Return the chains, by family, table and name, that are new and see packets.

    :arg data: Netlink messages of nftables.
    """
    found = set()
    for kind, message in messages(data):
        given = attributes(message[NFGENMSG.size :]) if kind == NEW_CHAIN else {}
        if CHAIN_HOOK in given:
            found.add(place_of(message[0], given, CHAIN_NAME))
    return found


def place_of(family: int, given: t.Mapping[int, bytes], name: int) -> Place:
    """Return a chain by family, table and name, the last being the attribute of this number."""
    table, chain = (given.get(each, b"").rstrip(b"\0").decode("utf-8", "replace") for each in (TABLE, name))
    return FAMILIES.get(family, ""), table, chain


def rules_of(place: Place, *, mark: bytes) -> list[tuple[int, bytes]]:
    """Return our rules of a chain, as the kernel shows them and takes them."""
    family, *names = place
    asked = {number: name.encode() + b"\0" for number, name in zip((RULE_TABLE, RULE_CHAIN), names)}
    number = NUMBERS.get(family, 0)
    kept = (RULE_TABLE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_USERDATA)
    found: list[tuple[int, bytes]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as asking:
        asking.settimeout(2)
        asking.send(as_message(GET_RULE, NLM_F_DUMP_REQUEST, as_attributes(asked), family=number))
        while True:
            for kind, message in messages(asking.recv(LARGEST_READ)):
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return found
                given = attributes(message[NFGENMSG.size :])
                if mark in given.get(RULE_USERDATA, b""):
                    found.append((number, as_attributes({name: given[name] for name in kept if name in given})))


class Reflex:
    """The thread, and the chains that it knows."""

    def __init__(self, *, mark: str) -> None:
        self._mark = mark.encode()
        self._batches: dict[Place, bytes] = {}

    def begin(self, look: t.Callable[[], object]) -> None:
        """Start the thread, which ends with the process.

        :arg look: Looks at all chains, for a new one that is not known: whoever else looks may be busy.
        """
        threading.Thread(target=self._go, args=(look,), daemon=True).start()

    def learn(self, places: t.Iterable[Place]) -> None:
        """Know chains that begin with our rules now. What it knows it knows for good, even when a chain is gone."""
        for place in places:
            rules = rules_of(place, mark=self._mark) if place not in self._batches else []
            if rules:
                self._batches[place] = as_batch(rules)

    def _go(self, look: t.Callable[[], object]) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        heard, telling = (socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) for _number in range(2))
        heard.bind((0, bit(NFNLGRP_NFTABLES)))
        while True:
            with contextlib.suppress(OSError, ValueError, WebstackError):  # the next look has to do
                data = heard.recv(LARGEST_READ)
                for place in overtaken(data, mark=self._mark) & self._batches.keys():
                    with contextlib.suppress(OSError):  # refusals of chains that are gone, which nobody has read
                        telling.send(self._batches[place])
                    time.sleep(PAUSE_SECONDS)
                if new_hooks(data) - self._batches.keys():
                    look()
