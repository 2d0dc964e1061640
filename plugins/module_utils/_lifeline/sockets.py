# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens, asked of the kernel by netlink.

/proc/net/tcp tells the same, but walks the table of all connections for it: milliseconds on a large machine.
"""

from __future__ import annotations

import socket
import struct
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.procfs import LISTEN, TcpSocket, plain_address

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
NLM_F_DUMP_REQUEST = 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
STATE_LISTEN = 1 << 10
HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBxI" + "HH16s16sI8s")  # inet_diag_req_v2
ANSWER = struct.Struct("=BBBB" + "HH16s16sI8s" + "IIIII")  # inet_diag_msg


def request(*, family: int, port: int) -> bytes:
    """Return the question for all listening TCP sockets of a port."""
    body = REQUEST.pack(
        family, socket.IPPROTO_TCP, 0, STATE_LISTEN, socket.htons(port), 0, bytes(16), bytes(16), 0, bytes(8)
    )
    return HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP_REQUEST, 1, 0) + body


def parse(data: bytes) -> tuple[list[TcpSocket], bool]:
    """Read the kernel's answer: sockets, and whether these were the last.

    :raises OSError: when the kernel refuses.
    """
    found: list[TcpSocket] = []
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = HEADER.unpack_from(data, offset)
        if kind == NLMSG_DONE:
            return found, True
        if kind == NLMSG_ERROR:
            raise OSError(-struct.unpack_from("=i", data, offset + HEADER.size)[0], "sock_diag")
        found.append(_socket(ANSWER.unpack_from(data, offset + HEADER.size)))
        offset += max(HEADER.size, (length + 3) & ~3)
    return found, False


def _socket(fields: tuple[t.Any, ...]) -> TcpSocket:
    family, _state, _timer, _retransmits, port, peer_port, source, peer, *_rest, inode = fields
    size = 4 if family == socket.AF_INET else 16
    addresses = [plain_address(socket.inet_ntop(family, each[:size])) for each in (source, peer)]
    return TcpSocket(
        address=addresses[0],
        port=socket.ntohs(port),
        peer=addresses[1],
        peer_port=socket.ntohs(peer_port),
        state=LISTEN,
        inode=str(inode),
    )


def listening(port: int) -> list[TcpSocket]:
    """Return the sockets that listen on a TCP port, IPv4 and IPv6."""
    found: list[TcpSocket] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as asking:
        asking.settimeout(2)
        for family in (socket.AF_INET, socket.AF_INET6):
            asking.send(request(family=family, port=port))
            last = False
            while not last:
                more, last = parse(asking.recv(1 << 16))
                found += more
    return found
