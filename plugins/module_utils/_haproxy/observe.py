# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What files and running HAProxy say, side by side; nothing is changed."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import AdminSocket, NoAnswerError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    DRAIN,
    READY,
    RuntimeServer,
    RuntimeServers,
    Server,
    Service,
    is_guest,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.process import find_process
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import is_edited, is_ours, read_back


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


@dataclasses.dataclass(frozen=True)
class File:
    """A configuration file, as far as one backend is concerned."""

    path: str
    text: str
    servers: list[Server]


def read_files(*, config_file: str, config_directory: str) -> dict[str, File]:
    """Find the backends of all configuration files, each with its file and its servers."""
    directory = Path(config_directory)
    others = sorted(directory.glob("[!.]*.cfg")) if directory.is_dir() else []
    found: dict[str, File] = {}
    for path in [Path(config_file), *others]:
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            for name, servers in parse.server_lines(text).items():
                found[name] = File(path=str(path), text=text, servers=servers)
    return found


def compare(
    *,
    files: t.Mapping[str, File],
    running: t.Mapping[str, RuntimeServers] | None,
) -> list[dict[str, t.Any]]:
    """Put files and runtime side by side, backend by backend.

    :arg running: None when HAProxy is not running, which is no drift.
    """
    return [
        _backend(name, file=files.get(name), running=None if running is None else running.get(name, {}))
        for name in sorted({*files, *(running or {})})
    ]


def _backend(name: str, *, file: File | None, running: RuntimeServers | None) -> dict[str, t.Any]:
    in_file = {server.name: server for server in file.servers} if file else {}
    names = [*in_file, *(each for each in (running or {}) if each not in in_file)]
    servers = [_server(each, in_file=in_file.get(each), running=(running or {}).get(each)) for each in names]
    ours = file is not None and is_ours(file.text)
    drift = [f"{Path(file.path).name}: edited by hand"] if file and is_edited(file.text) else []
    for each in names if running is not None else ():
        drift += _drift(each, in_file=in_file.get(each), running=(running or {}).get(each), ours=ours)
    service = read_back(file.text, name) if file and ours else None
    return {
        "name": name,
        "file": file.path if file else None,
        "drift": drift,
        "servers": servers,
        "service": _parameters(service) if service else None,
    }


def _parameters(service: Service) -> dict[str, t.Any]:
    """Give a service as the parameters of the module haproxy_backend."""
    return {
        **dataclasses.asdict(service),
        "bind": list(service.bind),
        "frontend_options": list(service.frontend_options),
        "backend_options": list(service.backend_options),
        "servers": [
            {name: value for name, value in dataclasses.asdict(server).items() if value is not None}
            for server in service.servers
        ],
    }


def _server(name: str, *, in_file: Server | None, running: RuntimeServer | None) -> dict[str, t.Any]:
    now: t.Any = running or in_file
    return {
        "name": name,
        "address": now.address,
        "port": now.port,
        "weight": now.weight,
        "file_address": in_file.endpoint if in_file else None,
        "runtime_address": running.endpoint if running else None,
        "status": running.status if running else None,
        "healthy": bool(running and running.healthy),
        "serving": bool(running and running.serving),
        "admin": running.admin if running else None,
        "last_check": running.check if running else None,
        "sessions": running.sessions if running else 0,
    }


def _drift(name: str, *, in_file: Server | None, running: RuntimeServer | None, ours: bool) -> t.Iterator[str]:
    if in_file is None:
        where = running.endpoint if running else ""
        what = "left by a run that was cut off" if is_guest(name) else "in no file"
        yield f"{name}: {where} in the running HAProxy, {what}"
        return
    if running is None:
        yield f"{name}: {in_file.endpoint} in the file, unknown to the running HAProxy"
        return
    if in_file.endpoint != running.endpoint:
        yield f"{name}: {in_file.endpoint} in the file, {running.endpoint} in the running HAProxy"
    # A file of others may give the weight elsewhere.
    if ours and in_file.weight != running.weight:
        yield f"{name}: weight {in_file.weight} in the file, {running.weight} in the running HAProxy"
    # Taken out of service by this collection, it is so in both.
    if (running.admin == READY) == (in_file.state == DRAIN):
        yield f"{name}: set to {running.admin} by hand"


def _running(runtime: AdminSocket) -> dict[str, RuntimeServers] | None:
    try:
        return runtime.all_servers()
    except NoAnswerError:
        return None
