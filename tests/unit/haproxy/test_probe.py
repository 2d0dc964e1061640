from __future__ import annotations

import http.server
import socket
import threading
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Server
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.probe import (
    Answer,
    Gate,
    HttpProbe,
    ask,
    pass_gate,
)

GATE = Gate(path="/readyz", host="localhost", successes=3, retries=2, delay=1.0, timeout=0.3)
SERVER = Server("web-01", "10.0.0.5", 80)
GOOD = Answer(good=True, text="HTTP 200 OK")
BAD = Answer(good=False, text="HTTP 503 Service Unavailable")


class Script:
    """Answers from a list, and a sleep that is only noted."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.slept: list[float] = []

    def __call__(self, _server: Server) -> Answer:
        return self.answers.pop(0)

    def ask(self) -> Answer:
        return ask(SERVER, gate=GATE, probe=self, sleep=self.slept.append)


def test_good_answers_in_a_row_open_the_gate_without_a_wait() -> None:
    script = Script(GOOD, GOOD, GOOD)
    assert script.ask() == GOOD
    assert script.slept == []


def test_a_bad_answer_in_between_starts_the_count_again() -> None:
    script = Script(GOOD, GOOD, BAD, GOOD, GOOD, GOOD)
    assert script.ask() == GOOD
    assert script.answers == []


def test_retries_run_out() -> None:
    script = Script(BAD, GOOD, BAD, GOOD, BAD)
    assert script.ask() == BAD
    assert script.slept == [1.0, 1.0]


def test_every_closed_gate_is_named() -> None:
    answers = {"web-01": BAD, "web-02": GOOD, "web-03": Answer(good=False, text="Connection refused")}
    servers = [SERVER, Server("web-02", "10.0.0.6", 80), Server("web-03", "2001:db8::7", 8080)]
    gate = Gate(path="/readyz", host="localhost", successes=1, retries=0, delay=0, timeout=1)
    with pytest.raises(WebstackError) as caught:
        pass_gate(servers, gate=gate, probe=lambda server: answers[server.name])
    assert caught.value.message == (
        "Server web-01 (10.0.0.5:80) did not answer GET /readyz from this balancer: HTTP 503 Service Unavailable."
        " Server web-03 ([2001:db8::7]:8080) did not answer GET /readyz from this balancer: Connection refused."
        " Nothing was changed. Next, on the balancer: curl -si http://10.0.0.5:80/readyz"
    )
    assert caught.value.data["gate"]["web-02"] == "HTTP 200 OK"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = (200, b"ok\n") if self.path == "/readyz" else (503, b"database\x1b[31m not reachable\nmore\n")
        self.send_response(status if self.headers["Host"] == "localhost" else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: t.Any) -> None:
        pass


@pytest.fixture
def server() -> t.Iterator[Server]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield Server("web-01", "127.0.0.1", listener.server_port)
        listener.shutdown()


def test_a_real_answer(server: Server) -> None:
    assert HttpProbe(gate=GATE)(server) == GOOD


def test_a_real_refusal_with_the_reason_made_harmless(server: Server) -> None:
    answer = HttpProbe(gate=Gate(path="/x", host="localhost", successes=1, retries=0, delay=0, timeout=1))(server)
    assert answer == Answer(good=False, text="HTTP 503 Service Unavailable (database[31m not reachable)")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert HttpProbe(gate=GATE)(Server("web-01", "127.0.0.1", port)) == Answer(good=False, text="Connection refused")


def test_somebody_who_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = Server("web-01", "127.0.0.1", listener.getsockname()[1])
        assert HttpProbe(gate=GATE)(silent) == Answer(good=False, text="no answer within 0.3 s")
