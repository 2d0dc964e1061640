"""Users, as a balancer sees them: clients that ask without a pause and count every answer.

A request fails when its answer is not a 2xx, is cut off, is late, or does not come at all. Nothing
is asked a second time, so nothing that a user would have noticed is hidden.

    python tests/lab/traffic.py --url http://10.89.0.11/ --seconds 30 --json result.json
    python tests/lab/traffic.py --url http://10.89.0.11/ --until-file done --json result.json

The result is rewritten every second and at the end, whole each time. The exit status is 1 if a
request failed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import copy
import http.client
import json
import signal
import socket
import struct
import sys
import threading
import time
import typing as t
import urllib.parse
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

SERVER_HEADER = "X-Served-By"
EXAMPLES = 20
BODY = b"x" * 1024
SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Mix:
    """How many clients of each kind ask at the same time.

    :arg keep_alive: One connection for as long as the server lets them.
    :arg fresh: A new connection for each request.
    :arg idle: Keep-alive with a second's rest after each answer, the kind that a reload cuts off.
    :arg post: POST with a body, each on a new connection.
    :arg download: Long answers, read to their end.
    :arg arrivals: New users per second, who come whether or not those before them have been served: one GET each, on a
        new connection. The others ask again only once they have their answer.
    """

    keep_alive: int = 2
    fresh: int = 2
    idle: int = 1
    post: int = 0
    download: int = 0
    arrivals: int = 0


@dataclass
class Result:
    """What the clients have seen.

    :arg slow: Good answers that took longer than `SLOW_SECONDS`; a download is not meant to be fast.
    :arg servers: Answers by the name in the header ``X-Served-By``.
    :arg examples: The first failures: seconds since the start, kind of client, what happened.
    """

    url: str
    seconds: float = 0.0
    requests: int = 0
    failed: int = 0
    slow: int = 0
    servers: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    examples: list[dict[str, t.Any]] = field(default_factory=list)


class Connection(http.client.HTTPConnection):
    """A connection that gives its port free at once: a minute's worth of them would be all that this machine has."""

    def connect(self) -> None:
        """Connect, and have the end of it be a reset; by then the answer has been read, or has failed."""
        super().connect()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Traffic:
    """Clients in threads; a context manager that starts and stops them.

    :arg pause: Seconds between two requests of one client.
    :arg timeout: Seconds one answer, or one piece of a download, may take.
    """

    def __init__(
        self,
        url: str,
        *,
        mix: Mix | None = None,
        pause: float = 0.01,
        timeout: float = 10.0,
        download_path: str = "/download",
    ) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._pause = pause
        self._timeout = timeout
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._result = Result(url=url)
        self._latencies: list[float] = []
        self._servers: collections.Counter[str] = collections.Counter()
        self._kinds: collections.Counter[str] = collections.Counter()
        self._started = time.monotonic()
        path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        clients: dict[str, t.Callable[[], None]] = {
            "keep_alive": lambda: self._keep_alive("keep_alive", path, rest=pause),
            "fresh": lambda: self._fresh("fresh", "GET", path),
            "idle": lambda: self._keep_alive("idle", path, rest=1.0),
            "post": lambda: self._fresh("post", "POST", path),
            "download": lambda: self._fresh("download", "GET", download_path),
        }
        numbers = asdict(mix or Mix())
        rate = numbers.pop("arrivals")
        self._threads = [
            threading.Thread(target=clients[kind], daemon=True)
            for kind, number in numbers.items()
            for _each in range(number)
        ]
        if rate:
            self._threads.append(threading.Thread(target=lambda: self._arrive(path, rate=rate), daemon=True))

    def __enter__(self) -> Traffic:
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Result:
        """Let every client finish its request, and give the final result."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        return self.result()

    def result(self) -> Result:
        """Give what was seen so far."""
        with self._lock:
            self._result.seconds = round(time.monotonic() - self._started, 3)
            self._result.servers = dict(sorted(self._servers.items()))
            self._result.kinds = dict(sorted(self._kinds.items()))
            self._result.latency_ms = _percentiles(self._latencies)
            return copy.deepcopy(self._result)

    # -- the kinds of clients ---------------------------------------------------------------

    def _fresh(self, kind: str, method: str, path: str) -> None:
        while not self._stopped.is_set():
            connection = self._connection()
            self._ask(connection, kind=kind, method=method, path=path)
            connection.close()
            self._stopped.wait(self._pause)

    def _keep_alive(self, kind: str, path: str, *, rest: float) -> None:
        # http.client connects anew by itself after an answer with `Connection: close`.
        connection = self._connection()
        while not self._stopped.is_set():
            if not self._ask(connection, kind=kind, method="GET", path=path):
                connection.close()
            self._stopped.wait(rest)
        connection.close()

    def _arrive(self, path: str, *, rate: int) -> None:
        users: list[threading.Thread] = []
        started, number = time.monotonic(), 0
        while not self._stopped.wait(max(0.0, started + number / rate - time.monotonic())):
            users = [user for user in users if user.is_alive()]
            users.append(threading.Thread(target=lambda: self._visit(path), daemon=True))
            users[-1].start()
            number += 1
        for user in users:
            user.join()

    def _visit(self, path: str) -> None:
        connection = self._connection()
        self._ask(connection, kind="arrivals", method="GET", path=path)
        connection.close()

    # -- one request ------------------------------------------------------------------------

    def _connection(self) -> http.client.HTTPConnection:
        return Connection(self._url.hostname or "", self._url.port, timeout=self._timeout)

    def _ask(self, connection: http.client.HTTPConnection, *, kind: str, method: str, path: str) -> bool:
        started = time.monotonic()
        failure, server = "", ""
        try:
            # A POST has a name, by which a server's log shows whether it was carried out twice.
            headers = {"X-Request-ID": uuid.uuid4().hex} if method == "POST" else {}
            connection.request(method, path, body=BODY if method == "POST" else None, headers=headers)
            response = connection.getresponse()
            response.read()
            server = response.getheader(SERVER_HEADER, "")
            if not http.client.OK <= response.status < http.client.MULTIPLE_CHOICES:
                failure = f"HTTP {response.status} {response.reason}"
        except (OSError, http.client.HTTPException) as error:
            failure = f"{type(error).__name__}: {error}"
        self._count(kind, seconds=time.monotonic() - started, server=server, failure=failure)
        return not failure

    def _count(self, kind: str, *, seconds: float, server: str, failure: str) -> None:
        with self._lock:
            self._result.requests += 1
            self._kinds[kind] += 1
            if kind != "download":
                self._latencies.append(seconds)
                self._result.slow += not failure and seconds > SLOW_SECONDS
            if server:
                self._servers[server] += 1
            if failure:
                self._result.failed += 1
                if len(self._result.examples) < EXAMPLES:
                    self._result.examples.append(
                        {"after": round(time.monotonic() - self._started, 3), "kind": kind, "failure": failure}
                    )


def _percentiles(latencies: t.Sequence[float]) -> dict[str, float]:
    if not latencies:
        return {}
    ordered = sorted(latencies)
    ranks = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    last = len(ordered) - 1
    return {name: round(ordered[min(int(rank * len(ordered)), last)] * 1000, 1) for name, rank in ranks.items()}


def write(result: Result, path: Path) -> None:
    """Put the result in place whole, so that who reads it meanwhile reads no half."""
    half = path.with_name(f".{path.name}.half")
    half.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")
    half.replace(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after so long at the latest")
    parser.add_argument("--until-file", type=Path, help="stop when this file appears")
    parser.add_argument("--json", type=Path, help="where the result goes")
    parser.add_argument("--pause", type=float, default=0.01, help="seconds between two requests of one client")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds one answer may take")
    parser.add_argument("--download-path", default="/download")
    for kind, number in asdict(Mix()).items():
        parser.add_argument(f"--{kind.replace('_', '-')}", type=int, default=number, help="number of these clients")
    return parser.parse_args()


def main() -> int:
    """Run from the command line."""
    arguments = _arguments()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    traffic = Traffic(
        arguments.url,
        mix=Mix(**{kind: getattr(arguments, kind) for kind in asdict(Mix())}),
        pause=arguments.pause,
        timeout=arguments.timeout,
        download_path=arguments.download_path,
    )
    deadline = time.monotonic() + arguments.seconds
    with traffic:
        written = 0.0
        while not stop.wait(0.1) and time.monotonic() < deadline:
            if arguments.until_file and arguments.until_file.exists():
                break
            if arguments.json and time.monotonic() - written > 1.0:
                write(traffic.result(), arguments.json)
                written = time.monotonic()
    result = traffic.stop()
    if arguments.json:
        write(result, arguments.json)
    with contextlib.suppress(BrokenPipeError):
        print(f"{result.failed} of {result.requests} requests failed in {result.seconds:.1f} s: {result.servers}")
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
