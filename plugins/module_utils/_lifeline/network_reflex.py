# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, addresses and routes put back within milliseconds, while somebody takes them away again and again.

The guard knocks, waits for an answer, and climbs its ladder, which takes seconds: whoever takes a route away every
second stays ahead of it. Once that was seen, a thread hears what the kernel tells of the network, and at each loss says
all of the good state once more, without a look. At other times it does nothing: an admin who changes the network takes
things away as well.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.sockets import messages
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.watch import (
    LARGEST_READ,
    NETLINK_ROUTE,
    RTNLGRP,
    bit,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network import State

# linux/rtnetlink.h, linux/if.h
RTM_NEWLINK, RTM_DELADDR, RTM_DELROUTE = 16, 21, 25
IFINFOMSG = struct.Struct("=BBHiII")  # family, padding, kind, index, flags, what of them changed
IFF_UP = 0x1
GROUPS = ("link", "ipv4_ifaddr", "ipv4_route", "ipv6_ifaddr", "ipv6_route")
PAUSE_SECONDS = 0.02  # between two acts: what belongs together is put back at once


def tells_of_loss(data: bytes) -> bool:
    """Tell whether messages of rtnetlink say that an address or a route is gone, or a link is not up."""
    for kind, message in messages(data):
        if kind in (RTM_DELADDR, RTM_DELROUTE):
            return True
        if kind == RTM_NEWLINK and not IFINFOMSG.unpack_from(message)[4] & IFF_UP:
            return True
    return False


def batches(good: State) -> dict[str, str]:
    """Return what `ip` reads, by the option for its version, to have a good state whatever there is now."""
    up = [f"link set dev {line.split()[0]} up" for line in good.get("link", []) if line.split()[1:] == ["up"]]
    four = [f"address replace {line}" for line in good.get("address", []) if ":" not in line]
    six = [f"address replace {line} nodad" for line in good.get("address", []) if ":" in line]
    four += [f"route replace {line}" for line in good.get("route4", []) if " table local" not in line]
    six += [f"route replace {line}" for line in good.get("route6", []) if " table local" not in line]
    return {"-4": "\n".join([*up, *four, ""]), "-6": "\n".join([*six, ""])}


class NetworkReflex:
    """The thread, and until when it has something to do."""

    def __init__(self, *, runner: CommandRunner, good: t.Callable[[], State]) -> None:
        self._runner = runner
        self._good = good
        self._until = 0.0

    @property
    def is_armed(self) -> bool:
        """Whether it puts back what is taken away."""
        return time.monotonic() < self._until

    def begin(self) -> None:
        """Start the thread, which ends with the process."""
        threading.Thread(target=self._go, daemon=True).start()

    def arm(self, seconds: float) -> bool:
        """Have it put back what is taken away for so long, and tell whether it did not do so before."""
        before, self._until = self.is_armed, time.monotonic() + seconds
        return not before

    def act(self) -> None:
        """Say all of the good state once more."""
        for version, lines in batches(self._good()).items():
            self._runner.run(["ip", version, "-force", "-batch", "-"], stdin=lines, check=False)

    def _go(self) -> None:
        heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
        heard.bind((0, sum(bit(RTNLGRP[group]) for group in GROUPS)))
        while True:
            with contextlib.suppress(OSError, ValueError, struct.error):  # the next look has to do
                if tells_of_loss(heard.recv(LARGEST_READ)) and self.is_armed:
                    self.act()
                    time.sleep(PAUSE_SECONDS)
