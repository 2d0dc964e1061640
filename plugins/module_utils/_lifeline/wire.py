# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what this host sends leaves by a device: a queue there may lose or hold it.

The probe's answers are caught ahead of the queue. But a packet socket sees each frame where the queue hands it to the
device, so that frames can be sent and counted there. They are addressed to the device itself, hence nobody wants them.
"""

from __future__ import annotations

import errno
import select
import socket
import time
import typing as t
from pathlib import Path

ETHERTYPE = 0x88B5  # for local experiments (IEEE 802)
ETH_P_ALL = 3
FRAMES = 10
LARGEST = 1200  # bytes, as a reply of sshd may have
WAIT_SECONDS = 1.0


def leaves(device: str, packets: t.Iterable[tuple[int, bytes]], *, sysfs: Path = Path("/sys/class/net")) -> bool:
    """Tell whether most frames of each kind leave as they are; what cannot be told counts as yes.

    :arg packets: What else than frames of no meaning is to be tried, such as a reply of sshd's: Ethernet's type of it,
        and its bytes.
    """
    try:
        mac = bytes.fromhex((sysfs / device / "address").read_text(encoding="ascii").strip().replace(":", ""))
        size = min(LARGEST, int((sysfs / device / "mtu").read_text(encoding="ascii")))
        kinds = [(ETHERTYPE, bytes(size)), *packets]
        return all(_leaves(device, mac * 2 + kind.to_bytes(2, "big") + content) for kind, content in kinds)
    except (OSError, ValueError):
        return True


def _leaves(device: str, frame: bytes) -> bool:
    with _packet_socket(device, ETH_P_ALL) as seeing, _packet_socket(device, 0) as sending:
        for _number in range(FRAMES):
            _send(sending, frame)
        return _count(seeing, frame) > FRAMES // 2


def _send(sending: socket.socket, frame: bytes) -> None:
    try:
        sending.send(frame)
    except OSError as error:
        if error.errno != errno.ENOBUFS:  # the queue says that it has dropped it
            raise


def _packet_socket(device: str, protocol: int) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    made.bind((device, protocol))
    return made


def _count(seeing: socket.socket, frame: bytes) -> int:
    found, end = 0, time.monotonic() + WAIT_SECONDS
    while found < FRAMES and select.select([seeing], [], [], max(0.0, end - time.monotonic()))[0]:
        found += seeing.recv(len(frame) + 1) == frame
    return found
