# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what HAProxy and its configuration files say; no input and no output of its own."""

from __future__ import annotations

import csv
import re
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    DRAIN,
    MAINT,
    READY,
    RuntimeServer,
    RuntimeServers,
    Server,
)

# Bits of srv_admin_state (HAProxy's management guide, "show servers state"): forced and inherited
# maintenance, maintenance by name resolution; forced and inherited drain. 0x04 only says that the
# configuration has the word `disabled`: it stays when the server is made ready.
_MAINT_BITS = 0x01 | 0x02 | 0x20
_DRAIN_BITS = 0x08 | 0x10
# srv_op_state: 0 stopped, 1 starting (slow start), 2 running, 3 stopping.
_RUNNING = ("1", "2")

# What starts a section; everything up to the next one belongs to it.
_SECTIONS = frozenset(
    {
        "backend",
        "cache",
        "crt-store",
        "defaults",
        "dynamic-update",
        "fcgi-app",
        "frontend",
        "global",
        "http-errors",
        "listen",
        "log-forward",
        "mailers",
        "peers",
        "program",
        "resolvers",
        "ring",
        "traces",
        "userlist",
    }
)


def split_endpoint(text: str) -> tuple[str, int]:
    """Take ``10.0.0.4:80`` or ``[2001:db8::4]:80`` apart; a missing port is 0."""
    address, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or not port.isdigit():
        return text.strip("[]"), 0
    return address.strip("[]"), int(port)


def sections(text: str) -> dict[tuple[str, str], list[str]]:
    """Take a configuration text apart: the lines of each section, by its keyword and its name."""
    found: dict[tuple[str, str], list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in _SECTIONS:
            lines = found.setdefault((words[0], words[1] if len(words) > 1 else ""), [])
        elif words and not words[0].startswith("#"):
            lines.append(line.strip())
    return found


def server_lines(text: str) -> dict[str, list[Server]]:
    """Find the servers a configuration text names, by backend (or listen section), in their order."""
    found: dict[str, list[Server]] = {}
    section: list[Server] | None = None
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] in _SECTIONS:
            section = None
            if words[0] in ("backend", "listen") and len(words) > 1:
                section = found.setdefault(words[1], [])
        elif words[0] == "server" and section is not None and len(words) > 2:
            section.append(_server(words[1:]))
    return found


def runtime_servers(*, states: str, stat: str) -> dict[str, RuntimeServers]:
    """Join ``show servers state`` and ``show stat`` into the servers of every backend.

    :raises WebstackError: when either reply is not what these commands answer.
    """
    rows = _stat_rows(stat)
    found: dict[str, RuntimeServers] = {}
    for state in _state_rows(states):
        backend, name = state["be_name"], state["srv_name"]
        row = rows.get((backend, name), {})
        found.setdefault(backend, {})[name] = RuntimeServer(
            name=name,
            address=state["srv_addr"],
            port=int(state["srv_port"]),
            status=row.get("status", ""),
            healthy=state["srv_op_state"] in _RUNNING,
            checked=row.get("check_status", "").replace("* ", "") not in ("", "INI", "UNK"),
            admin=_admin(int(state["srv_admin_state"])),
            check=_check(row),
            sessions=int(row.get("scur") or 0),
            weight=int(state["srv_uweight"]),
        )
    return found


def backend_id(states: str) -> int:
    """Take the backend's number from ``show servers state``; -1, which means all, where it has no server.

    :raises WebstackError: when the reply is not what this command answers.
    """
    return next((int(row["be_id"]) for row in _state_rows(states)), -1)


def info(text: str) -> dict[str, str]:
    """Read ``show info`` into its names and values.

    :raises WebstackError: when there is no process id in it.
    """
    pairs = (line.partition(": ") for line in text.splitlines())
    found = {name: value for name, colon, value in pairs if colon}
    if not found.get("Pid", "").isdigit():
        raise _unreadable("show info", text)
    return found


def alerts(text: str) -> str:
    """Take from what ``haproxy -c`` prints the reasons why it refused, without who printed them."""
    found = re.findall(r"^\[ALERT\]\s+\(\d+\) : (?:config : )?(.*)$", text, re.MULTILINE)
    # The last ones only say that there were errors.
    reasons = [
        line.strip().rstrip(".") for line in found if not re.match(r"(Error\(s\) found|Fatal errors found)", line)
    ]
    return "; ".join(reasons or found) or text.strip() or "it gave no reason"


def _server(words: t.Sequence[str]) -> Server:
    address, port = split_endpoint(words[1])
    options = dict(zip(words[2:], [*words[3:], ""]))
    weight = options.get("weight", "")
    return Server(
        name=words[0],
        address=address,
        port=port,
        weight=int(weight) if weight.isdigit() else 1,
        state=DRAIN if "disabled" in options else None,
    )


def _state_rows(text: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or lines[0] != "1" or not lines[1].startswith("# be_id "):
        raise _unreadable("show servers state", text)
    header = lines[1].lstrip("# ").split()
    return [dict(zip(header, line.split())) for line in lines[2:]]


def _stat_rows(text: str) -> dict[tuple[str, str], dict[str, str]]:
    if not text.startswith("# pxname,svname,"):
        raise _unreadable("show stat", text)
    rows = csv.DictReader(text[2:].strip().splitlines())
    return {(row["pxname"], row["svname"]): row for row in rows}


def _admin(bits: int) -> str:
    if bits & _MAINT_BITS:
        return MAINT
    return DRAIN if bits & _DRAIN_BITS else READY


def _check(row: t.Mapping[str, str]) -> str:
    words = (row.get("check_status", ""), row.get("check_code", ""), row.get("last_chk", ""))
    return " ".join(word.strip() for word in words if word and word.strip())


def _unreadable(command: str, text: str) -> WebstackError:
    return WebstackError(
        f"HAProxy's answer to `{command}` is not one this collection understands: {text.strip()[:200] or 'nothing'}."
    )
