from __future__ import annotations

import socket
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import (
    AdminSocket,
    NoAnswerError,
    NotDynamicError,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Server

SERVER = Server("web-01", "10.0.0.5", 80)


class Listener:
    """An admin socket that gives one answer to everything."""

    def __init__(self, path: Path) -> None:
        self.answer = b"\n"
        self.commands: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _address = self._socket.accept()
            with connection:
                self.commands.append(connection.recv(4096).decode())
                connection.sendall(self.answer)


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    return Listener(tmp_path / "admin.sock")


@pytest.fixture
def admin(tmp_path: Path) -> AdminSocket:
    return AdminSocket(path=str(tmp_path / "admin.sock"))


# What HAProxy really answers: 2.6 first, 3.0 last.
@pytest.mark.parametrize(
    "answer",
    [
        "no need to change the addr, no need to change the port by 'stats socket command'\n\n",
        "no need to change the addr, port changed from '81' to '80' by 'stats socket command'\n\n",
        "IP changed from '10.0.0.4' to '10.0.0.5', port changed from '81' to '80' by 'stats socket command'\n\n",
        "IP changed from '10.0.0.4' to '10.0.0.5' by 'stats socket command'\n\n",
        "port changed from '81' to '80' by 'stats socket command'\n\n",
        "nothing changed\n\n",
    ],
)
def test_a_change_of_address_that_was_done(listener: Listener, admin: AdminSocket, answer: str) -> None:
    listener.answer = answer.encode()
    admin.set_address("web", SERVER)
    assert listener.commands == ["set server web/web-01 addr 10.0.0.5 port 80\n"]


@pytest.mark.parametrize(
    "answer", ["\n", "", "No such server.\n\n", "No such backend.\n\n", "Invalid addr 'x'\n\n", "Permission denied\n\n"]
)
def test_a_change_of_address_that_was_not(listener: Listener, admin: AdminSocket, answer: str) -> None:
    listener.answer = answer.encode()
    with pytest.raises(WebstackError, match="HAProxy refused `set server web/web-01 addr"):
        admin.set_address("web", SERVER)


def test_a_change_of_state(listener: Listener, admin: AdminSocket) -> None:
    admin.set_state("web", "web-01", "drain")
    admin.set_health("web", "web-01", "down")
    assert listener.commands == ["set server web/web-01 state drain\n", "set server web/web-01 health down\n"]
    listener.answer = b"Permission denied\n\n"
    with pytest.raises(WebstackError, match="refused `set server web/web-01 state ready`: Permission denied"):
        admin.set_state("web", "web-01", "ready")


def test_a_server_is_added(listener: Listener, admin: AdminSocket) -> None:
    listener.answer = b"New server registered.\n\n"
    admin.add("web", SERVER, options="check inter 1s")
    assert listener.commands == ["add server web/web-01 10.0.0.5:80 check inter 1s weight 1\n"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Backend must use a dynamic load balancing to support dynamic servers.\n", NotDynamicError),
        ("'cookie' option is not accepted for dynamic server\n\n", NotDynamicError),
        ("Already exists a server with the same name in backend.\n\n", WebstackError),
        ("", WebstackError),
    ],
)
def test_a_server_is_not_added(listener: Listener, admin: AdminSocket, answer: str, kind: type[WebstackError]) -> None:
    listener.answer = answer.encode()
    with pytest.raises(WebstackError, match="HAProxy refused `add server web/web-01") as caught:
        admin.add("web", SERVER, options="check")
    assert isinstance(caught.value, NotDynamicError) == (kind is NotDynamicError)


def test_a_server_is_deleted(listener: Listener, admin: AdminSocket) -> None:
    listener.answer = b"Server deleted.\n\n"
    admin.delete("web", "web-01")
    listener.answer = b"Only servers in maintenance mode can be deleted.\n"
    with pytest.raises(WebstackError, match="Only servers in maintenance"):
        admin.delete("web", "web-01")


def test_a_backend_that_is_not_there(listener: Listener, admin: AdminSocket) -> None:
    listener.answer = b"Can't find backend.\n\n"
    assert admin.servers("web") is None


def test_nobody_listens(admin: AdminSocket) -> None:
    assert admin.pid() is None
    assert admin.servers("web") is None
    with pytest.raises(NoAnswerError, match="Next: systemctl status haproxy"):
        admin.set_state("web", "web-01", "drain")


def test_an_answer_that_is_no_answer_is_not_taken_for_a_haproxy_that_does_not_run(
    listener: Listener, admin: AdminSocket
) -> None:
    listener.answer = b"Permission denied\n\n"
    calls: list[t.Callable[[], object]] = [admin.pid, lambda: admin.servers("web")]
    for call in calls:
        with pytest.raises(WebstackError, match="Permission denied"):
            call()
