# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where sshd listens: what runs now, what its configuration says, and what systemd holds for it."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.procfs import LISTEN, Proc, plain_address

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

SSHD = "/usr/sbin/sshd"
SYSTEMCTL = "/usr/bin/systemctl"
SOCKET_UNIT = "ssh.socket"


@dataclasses.dataclass(frozen=True, order=True)
class Listener:
    """One address and port on which SSH answers, or will after the next restart.

    ``source`` is ``running`` (a socket of the sshd that runs), ``configured`` (``sshd -T``) or
    ``socket_unit`` (systemd's ssh.socket).
    """

    port: int
    address: str
    source: str

    @property
    def local_only(self) -> bool:
        """Whether only the host itself can connect to it."""
        return ipaddress.ip_address(self.address).is_loopback


def parse_endpoint(text: str) -> tuple[str, int] | None:
    """Parse ``192.0.2.1:22``, ``[::]:22``, ``*:22`` or ``22``; None for anything else (a path, vsock)."""
    host, colon, port = text.strip().rpartition(":")
    if not port.isdigit():
        return None
    if not colon or host == "*":
        return "::", int(port)
    try:
        return plain_address(host.strip("[]")), int(port)
    except ValueError:
        return None


def parse_sshd_dump(text: str) -> list[Listener]:
    """Read the ``listenaddress`` lines of ``sshd -T`` (it resolves Port and ListenAddress into them)."""
    endpoints = (
        parse_endpoint(line.split()[1]) for line in text.splitlines() if line.lower().startswith("listenaddress ")
    )
    return [Listener(address=found[0], port=found[1], source="configured") for found in endpoints if found]


def parse_socket_unit(text: str) -> list[Listener]:
    """Read ``systemctl show --property=ActiveState,UnitFileState,Listen ssh.socket``.

    A unit that neither listens now nor starts with the system has no listeners.
    """
    lines = [line.partition("=") for line in text.splitlines()]
    values = {name: value for name, _equals, value in lines if name != "Listen"}
    if values.get("ActiveState") != "active" and values.get("UnitFileState") != "enabled":
        return []
    endpoints = (
        parse_endpoint(value.split(" ")[0])
        for name, _equals, value in lines
        if name == "Listen" and "(Stream)" in value
    )
    return [Listener(address=found[0], port=found[1], source="socket_unit") for found in endpoints if found]


def running_listeners(*, proc: Proc) -> list[Listener]:
    """Return the listening sockets of the sshd daemon.

    Its session processes are left out: what they listen on are their users' port forwardings. OpenSSH
    tells them apart by the title: ``sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups``.
    """
    inodes: set[str] = set()
    for pid in proc.pids():
        if proc.comm(pid) == "sshd" and "[listener]" in proc.command_line(pid):
            inodes |= proc.socket_inodes(pid)
    return [
        Listener(address=socket.address, port=socket.port, source="running")
        for socket in proc.sockets()
        if socket.state == LISTEN and socket.inode in inodes
    ]


def find_listeners(*, runner: CommandRunner, proc: Proc) -> list[Listener]:
    """Return every address sshd listens on now or would after a restart, sorted by port.

    A configuration that sshd refuses is no error here: the running sshd goes on with the old one.
    """
    found = running_listeners(proc=proc)
    if Path(SSHD).exists():
        found += parse_sshd_dump(runner.run([SSHD, "-T"], check=False).stdout)
    if Path(SYSTEMCTL).exists():
        show = [SYSTEMCTL, "show", "--property=ActiveState,UnitFileState,Listen", SOCKET_UNIT]
        found += parse_socket_unit(runner.run(show, check=False).stdout)
    return sorted(set(found))


def reachable_ports(*, listeners: t.Iterable[Listener]) -> list[int]:
    """Return the ports another machine can connect to, sorted."""
    return sorted({listener.port for listener in listeners if not listener.local_only})
