"""Runs on a host of the lab, fed to `python3 -`: print as JSON what a refused run must not have changed.

Standard library only, and nothing that changes by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import typing as t
from pathlib import Path

FOLDERS = ("/etc", "/srv", "/var/lib/webstack", "/var/backups/webstack")
ADMIN_SOCKET = "/run/haproxy/admin.sock"
CLIENT = ("mariadb", "--no-defaults", "--batch", "--skip-column-names", "--execute")


def files() -> dict[str, str]:
    """Return the digest of every file that holds settings or data of ours."""
    found = {}
    for folder in FOLDERS:
        for parent, _folders, names in os.walk(folder):
            for path in (Path(parent, name) for name in names):
                if path.is_file() and not path.is_symlink() and path.name != ".lock":
                    found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def packages() -> list[str]:
    """Return the installed packages with their versions."""
    return output("dpkg-query", "--show").splitlines()


def databases() -> dict[str, str]:
    """Return the checksum of every table of users; on a host without a server, what lies in its data directory."""
    if not Path("/run/mysqld/mysqld.sock").exists():
        return {str(path): "" for path in sorted(Path("/var/lib/mysql").glob("*/*"))}
    query = (
        "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables WHERE table_schema"
        " NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') AND table_type = 'BASE TABLE'"
    )
    schemas = dict.fromkeys(output(*CLIENT, "SHOW DATABASES").split(), "")
    tables = output(*CLIENT, query).splitlines()
    sums = output(*CLIENT, f"CHECKSUM TABLE {', '.join(tables)}").splitlines() if tables else []
    return {**schemas, **dict(line.split("\t", 1) for line in sums)}


def balancer() -> list[str]:
    """Return what the running HAProxy points at: each server's name, addresses and state asked for by hand."""
    if not Path(ADMIN_SOCKET).exists():
        return []
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(ADMIN_SOCKET)
        client.sendall(b"show servers state\n")
        answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    rows = [line.split() for line in answer.splitlines()[2:] if line.strip()]
    # be_name srv_name srv_addr srv_op_state srv_admin_state … srv_port
    return [f"{row[1]} {row[3]} {row[4]}:{row[18]} state={row[5]} admin={row[6]}" for row in rows]


def output(*argv: str) -> str:
    """Return what a command prints."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Print it all."""
    parts: dict[str, t.Callable[[], t.Any]] = {
        "files": files,
        "packages": packages,
        "databases": databases,
        "balancer": balancer,
    }
    print(json.dumps({name: part() for name, part in parts.items()}, sort_keys=True))


if __name__ == "__main__":
    main()
