# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens, and to whom a table of nftables belongs, asked of the kernel by netlink.

/proc/net/tcp tells the same, but walks the table of all connections for it: milliseconds on a large machine.
"""

from __future__ import annotations

import socket
import struct
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.procfs import plain_address

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
NLM_F_DUMP_REQUEST = 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
STATE_LISTEN = 1 << 10
HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBxI" + "HH16s16sI8s")  # inet_diag_req_v2
ANSWER = struct.Struct("=BBBB" + "HH16s16sI8s" + "IIIII")  # inet_diag_msg


class Listener(t.NamedTuple):
    """A socket that listens, and how many connections wait there for somebody to take them."""

    address: str
    port: int
    inode: str
    waiting: int


def request(*, family: int, port: int) -> bytes:
    """Return the question for all listening TCP sockets of a port."""
    body = REQUEST.pack(
        family, socket.IPPROTO_TCP, 0, STATE_LISTEN, socket.htons(port), 0, bytes(16), bytes(16), 0, bytes(8)
    )
    return HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP_REQUEST, 1, 0) + body


def messages(data: bytes) -> t.Iterator[tuple[int, bytes]]:
    """Yield the netlink messages of what was received: the kind of each, and what it holds."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = HEADER.unpack_from(data, offset)
        yield kind, data[offset + HEADER.size : offset + length]
        offset += max(HEADER.size, (length + 3) & ~3)


def parse(data: bytes) -> tuple[list[Listener], bool]:
    """Read the kernel's answer: sockets, and whether these were the last.

    :raises OSError: when the kernel refuses.
    """
    found: list[Listener] = []
    for kind, message in messages(data):
        if kind == NLMSG_DONE:
            return found, True
        if kind == NLMSG_ERROR:
            raise OSError(-struct.unpack_from("=i", message)[0], "sock_diag")
        found.append(_socket(ANSWER.unpack_from(message)))
    return found, False


def _socket(fields: tuple[t.Any, ...]) -> Listener:
    family, _state, _timer, _retransmits, port, _peer_port, source, *_rest, waiting, _room, _uid, inode = fields
    address = plain_address(socket.inet_ntop(family, source[: 4 if family == socket.AF_INET else 16]))
    return Listener(address, socket.ntohs(port), str(inode), waiting)


def listening(port: int) -> list[Listener]:
    """Return the sockets that listen on a TCP port, IPv4 and IPv6."""
    found: list[Listener] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as asking:
        asking.settimeout(2)
        for family in (socket.AF_INET, socket.AF_INET6):
            asking.send(request(family=family, port=port))
            last = False
            while not last:
                more, last = parse(asking.recv(1 << 16))
                found += more
    return found


# linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
NETLINK_NETFILTER, GET_TABLE = 12, 10 << 8 | 1
TABLE_NAME, TABLE_OWNER = 1, 7
NFGENMSG, ATTRIBUTE = struct.Struct("=BBH"), struct.Struct("=HH")
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}


def parse_tables(data: bytes) -> tuple[dict[tuple[str, str], int], bool]:
    """Read the kernel's list of tables: the owners' netlink ports by family and name, and whether that was the end."""
    owners: dict[tuple[str, str], int] = {}
    for kind, message in messages(data):
        if kind in (NLMSG_DONE, NLMSG_ERROR):
            return owners, True
        found = attributes(message[NFGENMSG.size :])
        if TABLE_OWNER in found:
            name = found[TABLE_NAME].rstrip(b"\0").decode("utf-8", "replace")
            owners[FAMILIES.get(message[0], ""), name] = int.from_bytes(found[TABLE_OWNER], "big")
    return owners, False


def attributes(data: bytes) -> dict[int, bytes]:
    """Read the attributes of a netlink message."""
    found = {}
    offset = 0
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        found[kind & 0x3FFF] = data[offset + ATTRIBUTE.size : offset + length]
        offset += max(ATTRIBUTE.size, (length + 3) & ~3)
    return found


def table_owners() -> dict[tuple[str, str], int]:
    """Return the netlink port of the socket that a table belongs to, for those that belong to one."""
    owners: dict[tuple[str, str], int] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as asking:
        asking.settimeout(2)
        message = NFGENMSG.pack(0, 0, 0)
        asking.send(HEADER.pack(HEADER.size + len(message), GET_TABLE, NLM_F_DUMP_REQUEST, 1, 0) + message)
        last = False
        while not last:
            more, last = parse_tables(asking.recv(1 << 16))
            owners.update(more)
    return owners


def netlink_inode(port: int, text: str) -> str:
    """Return the inode of the netfilter socket with a netlink port, by the text of /proc/net/netlink."""
    lines = (line.split() for line in text.splitlines()[1:])
    return next((words[9] for words in lines if words[1:3] == [str(NETLINK_NETFILTER), str(port)]), "")
