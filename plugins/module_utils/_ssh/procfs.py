# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What /proc says about processes and TCP sockets, without `ss` or `ps`."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t
from pathlib import Path

LISTEN = "0A"
ESTABLISHED = "01"


@dataclasses.dataclass(frozen=True)
class TcpSocket:
    """One line of /proc/net/tcp or tcp6, decoded.

    ``state`` is the kernel's two hexadecimal digits. IPv4 addresses seen through an IPv6 socket are
    given as the IPv4 addresses they are.
    """

    address: str
    port: int
    peer: str
    peer_port: int
    state: str
    inode: str


def plain_address(text: str) -> str:
    """Return an address in its usual spelling: no zone (``%eth0``), no IPv4 inside IPv6."""
    address = ipaddress.ip_address(text.split("%", 1)[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _decode_endpoint(text: str) -> tuple[str, int]:
    """Decode ``0100007F:0016``: address words in host byte order (little-endian), port in hexadecimal."""
    address, port = text.split(":")
    words = (bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8))
    return plain_address(str(ipaddress.ip_address(b"".join(words)))), int(port, 16)


def parse_proc_net_tcp(text: str) -> list[TcpSocket]:
    """Parse the whole of /proc/net/tcp or /proc/net/tcp6."""
    sockets = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10:
            continue
        address, port = _decode_endpoint(fields[1])
        peer, peer_port = _decode_endpoint(fields[2])
        sockets.append(
            TcpSocket(address=address, port=port, peer=peer, peer_port=peer_port, state=fields[3], inode=fields[9])
        )
    return sockets


class Proc:
    """Reads /proc (another directory in tests). A process that is gone, or hidden, reads as empty."""

    def __init__(self, *, root: Path = Path("/proc")) -> None:
        self._root = root

    def pids(self) -> list[int]:
        """Return the ids of all processes."""
        return [int(entry.name) for entry in self._root.iterdir() if entry.name.isdigit()]

    def comm(self, pid: int) -> str:
        """Return the short name of a process (at most 15 characters)."""
        return self._read(f"{pid}/comm").strip()

    def command_line(self, pid: int) -> str:
        """Return the command line as `ps` shows it, which sshd rewrites to tell its processes apart."""
        return self._read(f"{pid}/cmdline").replace("\0", " ").strip()

    def environment(self, pid: int) -> dict[str, str]:
        """Return the environment a process was started with."""
        entries = (entry.partition("=") for entry in self._read(f"{pid}/environ").split("\0"))
        return {name: value for name, _equals, value in entries if name}

    def parent(self, pid: int) -> int:
        """Return the id of the parent process, 0 for none."""
        # The name before it stands in parentheses and may hold anything, also ") 1 (".
        fields = self._read(f"{pid}/stat").rpartition(")")[2].split()
        return int(fields[1]) if len(fields) > 1 else 0

    def started(self, pid: int) -> str:
        """Return when a process began, in ticks since the boot: with its id, that names it for good."""
        fields = self._read(f"{pid}/stat").rpartition(")")[2].split()
        return fields[19] if len(fields) > 19 else ""

    def ancestors(self, pid: int) -> t.Iterator[int]:
        """Yield a process and its parents, nearest first, without PID 1."""
        while pid > 1:
            yield pid
            pid = self.parent(pid)

    def sockets(self) -> list[TcpSocket]:
        """Return every TCP socket of this network namespace, IPv4 and IPv6."""
        return [socket for name in ("tcp", "tcp6") for socket in parse_proc_net_tcp(self._read(f"self/net/{name}"))]

    def socket_inodes(self, pid: int) -> set[str]:
        """Return the inodes of the sockets a process holds open."""
        inodes = set()
        try:
            for link in (self._root / str(pid) / "fd").iterdir():
                target = str(link.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[len("socket:[") : -1])
        except OSError:  # the process or the descriptor went away meanwhile
            return inodes
        return inodes

    def _read(self, name: str) -> str:
        try:
            return (self._root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
