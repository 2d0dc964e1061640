# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the SSH session this process belongs to comes from."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.procfs import ESTABLISHED, Proc, plain_address


@dataclasses.dataclass(frozen=True)
class Session:
    """One SSH session as this host sees it: the client's address, and the address and port it connected to.

    ``source`` says how it was found: ``environment`` (SSH_CONNECTION) or ``socket`` (sshd's connection).
    """

    address: str
    server_address: str
    server_port: int
    source: str


def parse_ssh_connection(text: str) -> Session | None:
    """Parse ``SSH_CONNECTION``: client address, client port, server address, server port."""
    fields = text.split()
    if len(fields) != 4 or not fields[3].isdigit():
        return None
    try:
        return Session(
            address=plain_address(fields[0]),
            server_address=plain_address(fields[2]),
            server_port=int(fields[3]),
            source="environment",
        )
    except ValueError:
        return None


def find_session(*, environment: t.Mapping[str, str], proc: Proc, pid: int) -> Session | None:
    """Return the SSH session that ``pid`` runs in, None when it runs in none (a local connection).

    sudo drops SSH_CONNECTION, so after the process's own environment those of its parents are asked, and
    in the end the parent that is an sshd for the peer of its connection.
    """
    session = parse_ssh_connection(environment.get("SSH_CONNECTION", ""))
    ancestors = [] if session else list(proc.ancestors(pid))
    for ancestor in ancestors:
        session = parse_ssh_connection(proc.environment(ancestor).get("SSH_CONNECTION", ""))
        if session:
            break
    return session or _session_of_sshd(proc=proc, ancestors=ancestors)


def _session_of_sshd(*, proc: Proc, ancestors: t.Iterable[int]) -> Session | None:
    for ancestor in ancestors:
        # sshd, and since OpenSSH 9.8 sshd-session.
        if not proc.comm(ancestor).startswith("sshd"):
            continue
        inodes = proc.socket_inodes(ancestor)
        for socket in proc.sockets():
            if socket.state == ESTABLISHED and socket.inode in inodes:
                return Session(
                    address=socket.peer,
                    server_address=socket.address,
                    server_port=socket.port,
                    source="socket",
                )
    return None
