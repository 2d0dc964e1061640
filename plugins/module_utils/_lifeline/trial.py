# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One login: by a client in a network of its own, to a server of its own or to the real one.

A server of its own is started with the host's files as they are now. They talk in a network of their own that has
nothing but a loopback: no packet filter, no name server and nobody else has a say. A pipe would not do: a server that
sees no address of its client has the system look up the name "UNKNOWN", and waits for a name server that may be gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import threading
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import ENVIRONMENT, TOO_LONG

# linux/sched.h, linux/sockios.h, linux/if.h
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
INTERFACE_REQUEST = struct.Struct("16sh14x")
LOOPBACK = "127.0.0.1"
LARGEST_READ = 1 << 16
RELAY_SECONDS = 20.0


class PrivateNetwork:
    """A network of its own, with a listening socket in it, as long as it is held."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._namespace = -1
        self._failure: OSError | None = None
        self.listener = socket.socket()
        # A thread of its own goes there, so that this process stays where it is.
        thread = threading.Thread(target=self._make)
        thread.start()
        thread.join()
        if self._failure is not None:
            raise WebstackError(f"no network of its own for a trial login: {self._failure}")

    def _make(self) -> None:
        try:
            if self._libc.unshare(CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            self._namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self.listener.close()
            self.listener = socket.socket()
            fcntl.ioctl(self.listener, SIOCSIFFLAGS, INTERFACE_REQUEST.pack(b"lo", IFF_UP))
            self.listener.bind((LOOPBACK, 0))
            self.listener.listen(1)
        except OSError as error:
            self._failure = error

    def enter(self) -> None:
        """Go there; for a child process before it becomes a program."""
        self._libc.setns(self._namespace, CLONE_NEWNET)

    def close(self) -> None:
        """Let go of it, which ends it."""
        self.listener.close()
        if self._namespace >= 0:
            os.close(self._namespace)


Serve = t.Callable[[socket.socket], t.Optional["subprocess.Popen[str]"]]


def served_by(server: t.Sequence[str]) -> Serve:
    """Have a client served by a program that serves one connection, on its standard input."""
    return lambda connection: _start(server, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL)


def served_over(real: socket.socket) -> Serve:
    """Have a client served by whoever is at the other end of a connection that is there already."""

    def serve(connection: socket.socket) -> None:
        ends = (connection.dup(), real)
        threading.Thread(target=_relay, args=ends, daemon=True).start()

    return serve


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Hand on what comes from either end until one of them ends, or nothing comes for long."""
    to = {one: other, other: one}
    with one, other, contextlib.suppress(OSError):
        while True:
            ready = select.select(list(to), [], [], RELAY_SECONDS)[0]
            for each in ready:
                data = each.recv(LARGEST_READ)
                if not data:
                    return
                to[each].sendall(data)
            if not ready:
                return


def log_in(*, client: t.Sequence[str], serve: Serve, seconds: float = 10.0) -> CommandResult:
    """Run a client in a network of its own, and return what became of it.

    :arg client: The client's argv, without port.
    :arg serve: What becomes of its connection.
    :raises WebstackError: when there is no network of its own to be had.
    """
    network = PrivateNetwork()
    port = str(network.listener.getsockname()[1])
    argv = [*client[:1], "-p", port, *client[1:]]
    running: list[subprocess.Popen[str]] = []
    try:
        running.append(_start(argv, preexec_fn=network.enter, stdin=subprocess.DEVNULL))
        network.listener.settimeout(seconds)
        with network.listener.accept()[0] as connection:
            server = serve(connection)
            running += [server] if server else []
        out, err = running[0].communicate(timeout=seconds)
        return CommandResult(argv=tuple(argv), rc=running[0].returncode, stdout=out, stderr=err)
    except (subprocess.TimeoutExpired, socket.timeout):
        return CommandResult(argv=tuple(argv), rc=TOO_LONG, stdout="", stderr="it took too long")
    except OSError as error:
        return CommandResult(argv=tuple(argv), rc=1, stdout="", stderr=str(error))
    finally:
        for process in running:
            process.kill()
            process.communicate()
        network.close()


def _start(argv: t.Sequence[str], **given: t.Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **given}
    return subprocess.Popen(list(argv), env=ENVIRONMENT, encoding="utf-8", errors="replace", **pipes)
