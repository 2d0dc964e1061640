"""What a new connection finds at an SSH port, told apart."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh import banner
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.banner import Finding, Target

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEBIAN = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"


@contextlib.contextmanager
def server(behave: Callable[[socket.socket], None]) -> Iterator[Target]:
    """A real service on a port of its own, which treats its one client as `behave` does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _address = listener.accept()
            with connection:
                behave(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Target("host", "127.0.0.1", listener.getsockname()[1])
        thread.join(timeout=5)


@pytest.mark.parametrize(
    ("greeting", "finding"),
    [
        (DEBIAN, Finding("open", banner=DEBIAN.decode().strip())),
        (b"Authorised use only\r\n" + DEBIAN, Finding("open", banner=DEBIAN.decode().strip())),
        (b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n", Finding("foreign", detail="HTTP/1.1 400 Bad Request")),
        (b"Not allowed at this time\r\n", Finding("throttled", detail="Not allowed at this time")),
        (b"Exceeded MaxStartups\r\n", Finding("throttled", detail="Exceeded MaxStartups")),
        (b"", Finding("closed")),
        (b"\x1b[31m\x07red\r\n", Finding("foreign", detail="?[31m?red")),
    ],
)
def test_the_first_words_tell_the_service(greeting: bytes, finding: Finding) -> None:
    assert banner.classify_greeting(greeting) == finding


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "refused"),
        (socket.timeout("timed out"), "timeout"),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), "timeout"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "unreachable"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "unresolved"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "closed"),
    ],
)
def test_an_error_tells_the_hindrance(error: OSError, status: str) -> None:
    assert banner.classify_error(error).status == status


def test_every_status_has_a_meaning() -> None:
    assert all(sentence.endswith(".") for sentence in banner.STATUSES.values())


def test_a_banner_that_comes_in_pieces_is_whole() -> None:
    heard: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        connection.sendall(DEBIAN[:10])
        heard.append(connection.recv(100))
        connection.sendall(DEBIAN[10:])

    with server(behave) as target:
        assert banner.probe(target, timeout=5) == Finding("open", banner=DEBIAN.decode().strip())
    assert heard == [banner.OWN_BANNER], "sshd is told who leaves again"


def test_a_service_that_says_nothing_is_not_taken_for_ssh() -> None:
    done = threading.Event()
    with server(lambda _connection: t.cast("None", done.wait(5))) as target:
        assert banner.probe(target, timeout=0.3) == Finding("silent")
        done.set()


def test_a_closed_port_is_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = Target("host", "127.0.0.1", unused.getsockname()[1])
        assert banner.probe(target, timeout=2).status == "refused"


def test_a_port_that_is_not_meant_for_this_machine_is_left_alone() -> None:
    def connect(_address: tuple[str, int], _timeout: float) -> banner.Connection:
        raise AssertionError("tried all the same")

    target = Target("host", "192.0.2.1", 22, admitted=("198.51.100.0/24",))
    finding = banner.probe(target, timeout=1, connect=connect, source=lambda _target: "203.0.113.5")
    assert finding == Finding("not_admitted")


@pytest.mark.parametrize(
    ("source", "networks", "admitted"),
    [
        ("192.0.2.7", [], True),
        ("192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.2.7", ["2001:db8::/32", "192.0.2.7"], True),
        ("192.0.2.7", ["198.51.100.0/24"], False),
        ("2001:db8::1", ["192.0.2.0/24", "2001:db8::/32"], True),
        ("fe80::1%eth0", ["fe80::/10"], True),
    ],
)
def test_networks_admit_whom_they_hold(source: str, networks: list[str], *, admitted: bool) -> None:
    assert banner.is_admitted(source=source, networks=networks) is admitted
