# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: a server takes traffic only after it answered this balancer, through its own address and port."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import http.client
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Server

_PARALLEL = 16
_EXCERPT = 80


@dataclasses.dataclass(frozen=True)
class Gate:
    """What a new or changed server has to do before it gets a request.

    :arg successes: Good answers in a row.
    :arg retries: Bad answers it may give before that.
    :arg delay: Seconds between a bad answer and the next try.
    :arg timeout: Seconds one answer may take.
    """

    path: str
    host: str
    successes: int
    retries: int
    delay: float
    timeout: float


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back: whether it is a 2xx, and in words."""

    good: bool
    text: str


Probe = t.Callable[[Server], Answer]


class HttpProbe:
    """Ask a server once, over a connection of its own."""

    def __init__(self, *, gate: Gate) -> None:
        self._gate = gate

    def __call__(self, server: Server) -> Answer:
        """GET the gate's path."""
        connection = http.client.HTTPConnection(server.address, server.port, timeout=self._gate.timeout)
        try:
            connection.request("GET", self._gate.path, headers={"Host": self._gate.host, "Connection": "close"})
            response = connection.getresponse()
            good = http.client.OK <= response.status < http.client.MULTIPLE_CHOICES
            text = f"HTTP {response.status} {response.reason}".rstrip()
            excerpt = "" if good else _excerpt(response.read(4096))
            return Answer(good=good, text=f"{text} ({excerpt})" if excerpt else text)
        except TimeoutError:
            return Answer(good=False, text=f"no answer within {self._gate.timeout:g} s")
        except (OSError, http.client.HTTPException) as error:
            # Python 3.8's socket.timeout is an OSError of its own, without an errno.
            if str(error) == "timed out":
                return Answer(good=False, text=f"no answer within {self._gate.timeout:g} s")
            return Answer(good=False, text=getattr(error, "strerror", None) or str(error) or type(error).__name__)
        finally:
            connection.close()


def ask(server: Server, *, gate: Gate, probe: Probe, sleep: t.Callable[[float], None] = time.sleep) -> Answer:
    """Probe until the gate's number of good answers in a row, or until its retries are used up.

    :return: The last answer.
    """
    good = bad = 0
    while True:
        answer = probe(server)
        if answer.good:
            good += 1
            if good >= gate.successes:
                return answer
        else:
            good, bad = 0, bad + 1
            if bad > gate.retries:
                return answer
            sleep(gate.delay)


def pass_gate(servers: t.Sequence[Server], *, gate: Gate, probe: Probe) -> dict[str, str]:
    """Let every server answer, all at the same time.

    :return: The last answer of each, by name.
    :raises WebstackError: naming every server that did not, before anything was changed.
    """
    if not servers:
        return {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        answers = list(pool.map(lambda server: ask(server, gate=gate, probe=probe), servers))
    found = {server.name: answer.text for server, answer in zip(servers, answers)}
    closed = [server for server, answer in zip(servers, answers) if not answer.good]
    if closed:
        raise WebstackError(_closed_message(closed, found=found, gate=gate), gate=found)
    return found


def _closed_message(servers: t.Sequence[Server], *, found: t.Mapping[str, str], gate: Gate) -> str:
    sentences = [
        f"Server {server.name} ({server.endpoint}) did not answer GET {gate.path} from this balancer:"
        f" {found[server.name]}."
        for server in servers
    ]
    return (
        f"{' '.join(sentences)} Nothing was changed."
        f" Next, on the balancer: curl -si http://{servers[0].endpoint}{gate.path}"
    )


def _excerpt(body: bytes) -> str:
    """Take the first line of an answer, printable and short."""
    line = body.decode("utf-8", "replace").strip().split("\n", 1)[0][:_EXCERPT].strip()
    return "" if line.startswith("<") else "".join(letter for letter in line if letter.isprintable())
