# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command on a host whose input and output pass through as they come.

Connections of Ansible hand over the whole output of a command at its end, and hold it in memory until then. Where
much is to be moved, `start` runs the very same command by the connection's own command line of ssh.
"""

from __future__ import annotations

import contextlib
import subprocess
import typing as t

if t.TYPE_CHECKING:
    from ansible.plugins.action import ActionBase
    from ansible.plugins.connection import ConnectionBase

# What a login shell says comes before the output of the command.
_BEGIN = b"webstack: it begins here"


class _Dictation:
    """Stands for a connection, and takes down the command that an action has it run."""

    def __init__(self, connection: ConnectionBase) -> None:
        self._connection = connection
        self.command = ""

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._connection, name)

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Note what would be run: with sudo and shell, as Ansible puts them around it."""
        del in_data, sudoable
        self.command = cmd
        return 0, b"", b""


def start(action: ActionBase, command: str) -> subprocess.Popen[bytes] | None:
    """Start a command on the host of an action's connection.

    :returns: The process on this machine, with pipes for all three streams, whose output is the command's; or
        nothing, where the connection is not ssh, has a terminal, or asks for a password.
    """
    connection: t.Any = action._connection
    if connection.transport != "ssh" or connection.has_tty or _asks(action):
        return None
    dictation = _Dictation(connection)
    action._connection = dictation
    try:
        action._low_level_execute_command(f"echo {_BEGIN.decode()!r}; {command}")
    finally:
        action._connection = connection
    host = connection.get_option("host") or action._play_context.remote_addr
    connection.host = host
    argv = connection._build_command(connection.get_option("ssh_executable"), "ssh", host, dictation.command)
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in t.cast("t.IO[bytes]", process.stdout):
        if line.rstrip(b"\r\n") == _BEGIN:
            break
    return process


def said(process: subprocess.Popen[bytes]) -> str:
    """What the command says beside its output, until its end."""
    return t.cast("t.IO[bytes]", process.stderr).read().decode(errors="replace").strip()


def _asks(action: ActionBase) -> bool:
    """Whether a password has to be given on the way, which Ansible does by itself."""
    connection: t.Any = action._connection
    options = [connection.get_option("password"), action._play_context.password]
    with contextlib.suppress(KeyError):
        options.append(connection.get_option("pkcs11_provider"))
    if connection.become:
        options.append(connection.become.get_option("become_pass"))
    return any(options)
