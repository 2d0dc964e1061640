"""Who is told of what, and how often; addresses are told to nobody."""

from __future__ import annotations

import http.server
import json
import threading
import typing as t
from collections.abc import Iterator

import pytest
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift import notify
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift.history import History
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift.report import Host

from tests.unit.drift.test_report import finding, look, report


class Server:
    """A web server that remembers what it was sent."""

    def __init__(self) -> None:
        received = self.received = []  # type: list[tuple[str, str]]

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                received.append((self.path, body))
                self.send_response(500 if self.path == "/broken" else 200)
                self.end_headers()

            do_GET = do_POST = answer  # noqa: N815 the names that http.server looks for

            def log_message(self, *_words: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.server.shutdown()


def test_what_is_new_and_what_is_over_is_told_once() -> None:
    history = History()
    told = [
        notify.news(report(Host("web-01", looks=[look(*findings)]), history=history))
        for findings in ([finding()], [finding()], [], [])
    ]
    assert [bool(each) for each in told] == [True, False, True, False]
    assert told[0] is not None
    assert told[2] is not None
    assert [each["id"] for each in told[0]["new"]] == ["file:/a"]
    assert [each["id"] for each in told[2]["resolved"]] == ["file:/a"]
    assert notify.as_text(told[0]) == ("Drift: 1 new", "web-01: drift: file:/a differs (open)")


def test_nobody_is_told_of_what_is_held() -> None:
    held = look(finding(held=True), hold={"reason": "x", "by": "", "until": ""})
    assert notify.news(report(Host("web-01", looks=[held]))) is None


def test_a_failure_is_told() -> None:
    told = notify.news(report(Host("web-01", failed="it broke")))
    assert told is not None
    assert told["failed"] == [{"host": "web-01", "message": "it broke"}]


def test_the_webhook_gets_the_news(server: Server) -> None:
    told = notify.news(report(Host("web-01", looks=[look(finding())])))
    assert told is not None
    assert notify.send(told=told, webhook=f"{server.url}/hook", services=[]) == []
    ((path, body),) = server.received
    assert (path, json.loads(body)) == ("/hook", told)


@pytest.mark.parametrize("call", [notify.beat, lambda url: notify.send(told={}, webhook=url, services=[])])
def test_a_service_that_fails_is_told_without_its_address(server: Server, call: t.Callable[[str], list[str]]) -> None:
    for url in (f"{server.url}/broken", "http://127.0.0.1:1/token-canary"):
        (problem,) = call(url)
        assert "could not be" in problem
        assert "canary" not in problem
        assert "127.0.0.1" not in problem


def test_the_heartbeat_is_a_plain_question(server: Server) -> None:
    assert notify.beat(f"{server.url}/ping") == []
    assert server.received == [("/ping", "")]


def test_without_apprise_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "apprise", None)
    assert (
        "pip install apprise"
        in notify.send(told={"new": [], "failed": [], "resolved": []}, webhook="", services=["x://"])[0]
    )
