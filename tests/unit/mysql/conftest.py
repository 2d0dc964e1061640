"""What the tests of the database code share."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Server


class FakeSession:
    """A session that answers from a list of (part of a statement, rows) and remembers what it ran."""

    def __init__(self, answers: t.Sequence[tuple[str, list[tuple[t.Any, ...]]]] = (), engine: str = "mariadb") -> None:
        self.server = Server(engine=engine, version="10.11.14" if engine == "mariadb" else "9.7.0")
        self.answers = list(answers)
        self.ran: list[str] = []
        self.closed = False

    def rows(self, statement: str, arguments: t.Sequence[t.Any] = ()) -> list[tuple[t.Any, ...]]:  # noqa: ARG002 -- protocol
        self.ran.append(statement)
        return next((rows for part, rows in self.answers if part in statement), [])

    def execute(self, statement: str, arguments: t.Sequence[t.Any] = ()) -> None:
        self.rows(statement, arguments)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def manifest() -> manifests.Manifest:
    """A small manifest that is right."""
    return {
        "schema": manifests.SCHEMA,
        "id": "20261123T080000Z-web-02",
        "host": "web-02",
        "engine": "mariadb",
        "version": "10.11.14",
        "started_at": "2026-11-23T08:00:00.000Z",
        "snapshot_at": "2026-11-23T08:00:00.100Z",
        "finished_at": "2026-11-23T08:00:01.000Z",
        "binlog": None,
        "method": "logical",
        "databases": {
            "shop": {
                "files": [
                    {"part": "schema", "file": "shop.schema.sql.zst", "size": 4, "sha256": "0" * 64},
                    {"part": "data", "file": "shop.data-01.sql.zst", "size": 4, "sha256": "0" * 64},
                ],
                "charset": "utf8mb4",
                "collation": "utf8mb4_general_ci",
                "bytes": 1000,
                "definers": ["root@localhost"],
                "tables": {
                    "orders": {"rows": 2, "checksum": "a" * 16, "structure": "s"},
                    "items": {"rows": 0, "checksum": "0" * 16, "structure": "t"},
                },
                "objects": {
                    "views": {"v": "1"},
                    "triggers": {},
                    "routines": {"function f": "2"},
                    "events": {},
                    "sequences": {},
                },
            },
        },
    }


def make_connection(transport: str) -> t.Any:
    """A connection whose host is this machine: ``ssh`` streams, any other one runs commands."""

    def build_command(_program: str, _subsystem: str, _host: str, command: str) -> list[str]:
        # What a chatty login shell makes of it.
        return ["sh", "-c", f"echo Welcome; {command}"]

    return types.SimpleNamespace(
        transport=transport,
        has_tty=False,
        become=None,
        get_option={"host": "web-02"}.get,
        _build_command=build_command,
        _shell=types.SimpleNamespace(tmpdir="unused"),
    )
