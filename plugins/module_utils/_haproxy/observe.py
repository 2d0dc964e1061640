# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What files and running HAProxy say, side by side; nothing is changed."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import AdminSocket, NoAnswerError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    READY,
    RuntimeServer,
    RuntimeServers,
    Server,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.process import find_process


def observe(*, runtime: AdminSocket, config_file: str, config_directory: str) -> dict[str, t.Any]:
    """Read everything; the shape is the RETURN of haproxy_backend_info."""
    pid = runtime.pid()
    process = find_process(pid) if pid else None
    return {
        "running": pid is not None,
        "pid": pid,
        "master_pid": process.master if process else None,
        "loads_directory": bool(process and process.reads(config_directory)),
        "stale": bool(process and process.older_than(config_file)),
        "backends": compare(
            files=read_files(config_file=config_file, config_directory=config_directory),
            running=_running(runtime),
        ),
    }


def read_files(*, config_file: str, config_directory: str) -> dict[str, tuple[str, list[Server]]]:
    """Find the backends of all configuration files, each with its file and its servers."""
    directory = Path(config_directory)
    others = sorted(directory.glob("[!.]*.cfg")) if directory.is_dir() else []
    found: dict[str, tuple[str, list[Server]]] = {}
    for path in [Path(config_file), *others]:
        if path.is_file():
            for name, servers in parse.server_lines(path.read_text(encoding="utf-8")).items():
                found[name] = (str(path), servers)
    return found


def compare(
    *,
    files: t.Mapping[str, tuple[str, list[Server]]],
    running: t.Mapping[str, RuntimeServers] | None,
) -> list[dict[str, t.Any]]:
    """Put files and runtime side by side, backend by backend.

    :arg running: None when HAProxy is not running, which is no drift.
    """
    return [
        _backend(name, file=files.get(name), running=None if running is None else running.get(name, {}))
        for name in sorted({*files, *(running or {})})
    ]


def _backend(name: str, *, file: tuple[str, list[Server]] | None, running: RuntimeServers | None) -> dict[str, t.Any]:
    in_file = {server.name: server for server in file[1]} if file else {}
    names = [*in_file, *(each for each in (running or {}) if each not in in_file)]
    servers = [_server(each, in_file=in_file.get(each), running=(running or {}).get(each)) for each in names]
    return {
        "name": name,
        "file": file[0] if file else None,
        "drift": [] if running is None else [sentence for server in servers for sentence in _drift(server)],
        "servers": servers,
    }


def _server(name: str, *, in_file: Server | None, running: RuntimeServer | None) -> dict[str, t.Any]:
    now: t.Any = running or in_file
    return {
        "name": name,
        "address": now.address,
        "port": now.port,
        "file_address": in_file.endpoint if in_file else None,
        "runtime_address": running.endpoint if running else None,
        "status": running.status if running else None,
        "healthy": bool(running and running.healthy),
        "serving": bool(running and running.serving),
        "admin": running.admin if running else None,
        "last_check": running.check if running else None,
        "sessions": running.sessions if running else 0,
    }


def _drift(server: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    name, in_file, running = server["name"], server["file_address"], server["runtime_address"]
    if running is None:
        yield f"{name}: {in_file} in the file, unknown to the running HAProxy"
    elif in_file is None:
        yield f"{name}: {running} in the running HAProxy, in no file"
    elif in_file != running:
        yield f"{name}: {in_file} in the file, {running} in the running HAProxy"
    if server["admin"] not in (None, READY):
        yield f"{name}: set to {server['admin']} by hand"


def _running(runtime: AdminSocket) -> dict[str, RuntimeServers] | None:
    try:
        return runtime.all_servers()
    except NoAnswerError:
        return None
