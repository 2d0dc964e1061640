# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a web server without touching it: what a rebuild must know before it begins.

Databases are read from the data directory, not from a server: a replacement must show its data
even where the server is stopped or refuses us.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import pathlib
import re
import shutil
import socket
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

# Schemas that every server creates for itself.
SYSTEM_SCHEMAS = frozenset({"mysql", "sys", "performance_schema", "information_schema"})
PAUSE_SECONDS = 0.5
# MySQL keeps its own folders beside the schemas'.
SYSTEM_FOLDERS = re.compile(r"^#|^\.")
# Where tables of other engines than InnoDB keep their rows: MyISAM, Aria, CSV, Archive.
OTHER_ENGINES = frozenset({".MYD", ".MAD", ".CSV", ".ARZ"})
LISTENER = re.compile(r'^\S+\s+\d+\s+\d+\s+\S+:(?P<port>\d+)\s+\S+(?:\s+users:\(\("(?P<process>[^"]+)")?', re.MULTILINE)


def parse_os_release(text: str) -> dict[str, str]:
    """The distribution as ``id`` and ``version``, from the text of /etc/os-release."""
    pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {"id": pairs.get("ID", "").strip('"'), "version": pairs.get("VERSION_ID", "").strip('"')}


def parse_listeners(text: str) -> dict[str, str]:
    """TCP ports and the process that listens there, from ``ss -Hltnp``."""
    return {found["port"]: found["process"] or "unknown" for found in LISTENER.finditer(text)}


def schema_name(folder: str) -> str:
    """The name of a schema from that of its folder, where MySQL writes ``-`` as ``@002d``."""
    return re.sub(r"@([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), folder)


def databases(data_directory: pathlib.Path) -> dict[str, dict[str, t.Any]]:
    """Schemas of users in a data directory: their size in bytes, whether they hold anything, and only InnoDB tables."""
    found = {}
    folders = sorted(data_directory.iterdir()) if data_directory.is_dir() else []
    for folder in folders:
        name = schema_name(folder.name)
        if not folder.is_dir() or name in SYSTEM_SCHEMAS or SYSTEM_FOLDERS.match(folder.name):
            continue
        sizes = {each.name: each.stat().st_size for each in folder.iterdir() if each.name != "db.opt"}
        found[name] = {
            "bytes": sum(sizes.values()),
            "empty": not sizes,
            "innodb_only": not any(pathlib.PurePath(each).suffix in OTHER_ENGINES for each in sizes),
        }
    return found


def wait_for_restore(state_directory: pathlib.Path, *, seconds: float) -> bool:
    """Wait for a restore that goes on although the run that started it was cut off.

    :returns: False where it still worked after that time.
    """
    lock = state_directory / ".lock"
    if not lock.exists():
        return True
    deadline = time.monotonic() + seconds
    with lock.open("rb") as stream:
        while not _try_shared_lock(stream):
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE_SECONDS)
    return True


def _try_shared_lock(stream: t.BinaryIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def can_dump() -> bool:
    """Whether the host has what a dump needs beside its database server."""
    return shutil.which("zstd") is not None and importlib.util.find_spec("pymysql") is not None


def can_copy(engine: str) -> bool:
    """Whether the host has what a copy of its server's files needs; MySQL brings that itself."""
    return engine == "mysql" or shutil.which("mariadb-backup") is not None


def restores(state_directory: pathlib.Path, *states: str) -> dict[str, str]:
    """Schemas that ``mysql_restore`` worked on here, with the dump they came from.

    :arg states: ``restored`` for those that are whole and proven, ``loading`` and ``replaying`` for what a restore
        that was cut off has left: the next one clears it, or puts it aside, and nothing else.
    """
    found = {}
    for file in sorted(state_directory.glob("*.json")) if state_directory.is_dir() else []:
        noted = json.loads(file.read_text(encoding="utf-8"))
        if noted.get("state") in states:
            found[noted["database"]] = noted["dump_id"]
            if "incoming" in noted:  # what is loaded beside a database is ours as well
                found[noted["incoming"]] = noted["dump_id"]
    return found


def database_server(*, runner: CommandRunner, unix_socket: str) -> dict[str, t.Any]:
    """Which database server is installed, and whether it answers on its socket."""
    for binary, engine in (("/usr/sbin/mariadbd", "mariadb"), ("/usr/sbin/mysqld", "mysql")):
        if os.access(binary, os.X_OK):
            version = re.search(r"Ver (\d+(?:\.\d+)+)", runner.run([binary, "--version"], check=False).stdout)
            return {"engine": engine, "version": version[1] if version else "", "running": _answers(unix_socket)}
    return {"engine": "", "version": "", "running": False}


def _answers(unix_socket: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        return client.connect_ex(unix_socket) == 0


def free_bytes(path: str) -> int:
    """Bytes an ordinary process may still write below a path that exists."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
