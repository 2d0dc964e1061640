# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to the running HAProxy over its admin socket."""

from __future__ import annotations

import re
import socket
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import RuntimeServers, Server

_TIMEOUT = 10.0
# HAProxy answers a change of address with a sentence (2.6 and 3.0 word "no change" differently),
# and a change of state or health, done, with nothing at all. Everything else is a refusal.
_ADDRESS_DONE = re.compile(r"(IP changed from|port changed from|no need to change the addr|nothing changed)")
_NO_BACKEND = "Can't find backend"
_ADDED = "New server registered"
_DELETED = "Server deleted"
_UNSUITABLE = re.compile(r"dynamic (server|load balancing)|unknown keyword", re.IGNORECASE)


class Runtime(t.Protocol):
    """What the rest of the code asks of the running HAProxy."""

    def pid(self) -> int | None:
        """Give the process id of the worker that answers, or None when nothing answers."""

    def servers(self, backend: str) -> RuntimeServers | None:
        """Give a backend's servers, or None when nothing answers or it has no such backend."""

    def set_address(self, backend: str, server: Server) -> None:
        """Send a server's requests to ``server.address`` and ``server.port`` from now on."""

    def set_state(self, backend: str, name: str, state: str) -> None:
        """Make a server ready, drain or maint."""

    def set_health(self, backend: str, name: str, health: str) -> None:
        """Set what the health checks have found so far: up or down. The next checks go on from there."""

    def enable_checks(self, backend: str, name: str) -> None:
        """Let a server's health checks run, which those of a server that was added at runtime do not by themselves."""

    def set_weight(self, backend: str, name: str, weight: int) -> None:
        """Give a server another share of the requests."""

    def add(self, backend: str, server: Server, *, options: str) -> None:
        """Add a server in maintenance, its health checks not enabled yet.

        :arg options: What ``default-server`` says; the running HAProxy does not read that line for it.
        :raises NotDynamicError: when this backend takes servers from its file only.
        """

    def delete(self, backend: str, name: str) -> None:
        """Delete a server in maintenance that has no connection any more."""


class NoAnswerError(WebstackError):
    """Nothing listens on the admin socket, or it went away in the middle."""


class NotDynamicError(WebstackError):
    """HAProxy cannot add such a server to this backend without a reload."""


class AdminSocket:
    """A `Runtime` over HAProxy's admin socket; every command is a session of its own."""

    def __init__(self, *, path: str) -> None:
        self._path = path

    def command(self, text: str) -> str:
        """Send one command and give the whole answer.

        :raises NoAnswerError: when there is none.
        """
        answer = bytearray()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_TIMEOUT)
                connection.connect(self._path)
                connection.sendall(text.encode() + b"\n")
                while True:
                    part = connection.recv(65536)
                    if not part:
                        return answer.decode("utf-8", "replace")
                    answer += part
        except OSError as error:
            raise NoAnswerError(
                f"HAProxy did not answer `{text}` on {self._path}: {error.strerror or error}."
                " Next: systemctl status haproxy; journalctl -u haproxy -n 50"
            ) from error

    def pid(self) -> int | None:
        """See `Runtime.pid`."""
        try:
            return int(parse.info(self.command("show info"))["Pid"])
        except NoAnswerError:
            return None

    def all_servers(self) -> dict[str, RuntimeServers]:
        """Give the servers of every backend.

        :raises NoAnswerError: when HAProxy does not answer.
        """
        return parse.runtime_servers(
            states=self.command("show servers state"),
            stat=self.command("show stat -1 4 -1"),
        )

    def servers(self, backend: str) -> RuntimeServers | None:
        """See `Runtime.servers`."""
        try:
            states = self.command(f"show servers state {backend}")
            if states.startswith(_NO_BACKEND):
                return None
            # By its number: a frontend of the same name would answer to the name.
            stat = self.command(f"show stat {parse.backend_id(states)} 4 -1")
            return parse.runtime_servers(states=states, stat=stat).get(backend, {})
        except NoAnswerError:
            return None

    def set_address(self, backend: str, server: Server) -> None:
        """See `Runtime.set_address`."""
        command = f"set server {backend}/{server.name} addr {server.address} port {server.port}"
        answer = self.command(command)
        if not _ADDRESS_DONE.match(answer):
            raise _refused(command, answer)

    def set_state(self, backend: str, name: str, state: str) -> None:
        """See `Runtime.set_state`."""
        self._silent(f"set server {backend}/{name} state {state}")

    def set_health(self, backend: str, name: str, health: str) -> None:
        """See `Runtime.set_health`."""
        self._silent(f"set server {backend}/{name} health {health}")

    def enable_checks(self, backend: str, name: str) -> None:
        """See `Runtime.enable_checks`."""
        self._silent(f"enable health {backend}/{name}")

    def set_weight(self, backend: str, name: str, weight: int) -> None:
        """See `Runtime.set_weight`."""
        self._silent(f"set server {backend}/{name} weight {weight}")

    def add(self, backend: str, server: Server, *, options: str) -> None:
        """See `Runtime.add`."""
        command = f"add server {backend}/{server.name} {server.endpoint} {options} weight {server.weight}"
        answer = self.command(command)
        if _ADDED not in answer:
            kind = NotDynamicError if _UNSUITABLE.search(answer) else WebstackError
            raise _refused(command, answer, kind=kind)

    def delete(self, backend: str, name: str) -> None:
        """See `Runtime.delete`."""
        command = f"del server {backend}/{name}"
        answer = self.command(command)
        if _DELETED not in answer:
            raise _refused(command, answer)

    def _silent(self, command: str) -> None:
        answer = self.command(command)
        if answer.strip():
            raise _refused(command, answer)


def _refused(command: str, answer: str, *, kind: type[WebstackError] = WebstackError) -> WebstackError:
    return kind(f"HAProxy refused `{command}`: {answer.strip() or 'it answered nothing'}")
