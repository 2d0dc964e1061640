# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to the database server of this host, over its unix socket, as the account of the process' own user."""

from __future__ import annotations

import dataclasses
import os
import pwd
import re
import traceback
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

PYMYSQL_IMPORT_ERROR: str | None = None
try:
    import pymysql
except ImportError:
    PYMYSQL_IMPORT_ERROR = traceback.format_exc()

DEFAULT_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock")

# What every statement of this collection relies on, whatever the server's own configuration says.
_COMMON_SETUP = (
    "SET NAMES utf8mb4",
    "SET SESSION sql_mode = ''",
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION wait_timeout = 604800",
    "SET SESSION transaction_isolation = 'REPEATABLE-READ'",
)
_ENGINE_SETUP = {
    "mariadb": ("SET SESSION max_statement_time = 0",),
    "mysql": ("SET SESSION max_execution_time = 0", "SET SESSION information_schema_stats_expiry = 0"),
}
# MariaDB learnt the name transaction_isolation in 11.1.
_ISOLATION_ALIAS = "SET SESSION tx_isolation = 'REPEATABLE-READ'"


_SOCKET = "must authenticate by the socket (MariaDB: unix_socket, MySQL: auth_socket)"
_ROOT_WAY_IN = f"Root {_SOCKET}, and the task must run as root (`become: true`)."
_OTHER_WAY_IN = f"The account {_SOCKET}; the role mysql_backup makes that of its timer: run it again."


@dataclasses.dataclass(frozen=True)
class Server:
    """Which server answers: ``engine`` is ``mariadb`` or ``mysql``, ``version`` is its number, as ``10.11.14``."""

    engine: str
    version: str

    @property
    def series(self) -> tuple[int, int]:
        """The release line, as ``(10, 11)``: dumps and checksums compare within it."""
        return series_of(self.version)

    @property
    def title(self) -> str:
        """The name people use, as ``MariaDB 10.11.14``."""
        return title_of(engine=self.engine, version=self.version)


class Session(t.Protocol):
    """What the collection needs of a connection; tests hand in their own."""

    server: Server

    def rows(self, statement: str, arguments: t.Sequence[t.Any] = ()) -> list[tuple[t.Any, ...]]:
        """Run a statement and return all of its rows."""

    def execute(self, statement: str, arguments: t.Sequence[t.Any] = ()) -> None:
        """Run a statement that returns nothing of interest."""

    def close(self) -> None:
        """End the connection."""


def series_of(version: str) -> tuple[int, int]:
    """The first two numbers of a version: ``10.11.14`` is of the series ``(10, 11)``."""
    numbers = re.findall(r"\d+", version)
    return int(numbers[0]), int(numbers[1])


def title_of(*, engine: str, version: str) -> str:
    """``MariaDB 10.11.14`` or ``MySQL 9.7.0``."""
    return f"{'MariaDB' if engine == 'mariadb' else 'MySQL'} {version}"


def parse_server(*, version: str, comment: str) -> Server:
    """Read ``@@version`` and ``@@version_comment``: ``10.11.14-MariaDB-0+deb12u2``, ``9.7.0-2``."""
    match = re.match(r"(?:5\.5\.5-)?(\d+\.\d+\.\d+)", version)
    if match is None:
        raise WebstackError(f"The database server calls its version `{version}`, which is no version number.")
    is_mariadb = "mariadb" in version.lower() or "mariadb" in comment.lower()
    return Server(engine="mariadb" if is_mariadb else "mysql", version=match.group(1))


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Quote a text for SQL, independent of ``NO_BACKSLASH_ESCAPES`` (which the sessions here switch off)."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def find_socket(*, login_unix_socket: str | None) -> str | None:
    """The socket of the running server: the given one, or the first usual one that exists."""
    candidates = (login_unix_socket,) if login_unix_socket else DEFAULT_SOCKETS
    return next((path for path in candidates if _is_socket(path)), None)


def _is_socket(path: str) -> bool:
    try:
        return Path(path).is_socket()
    except PermissionError:  # another's folder, which newer Pythons tell
        return False


def own_account() -> str:
    """The account by which this process logs in: the socket proves its user, so it has that user's name."""
    return pwd.getpwuid(os.geteuid()).pw_name


class PyMySqlSession:
    """A `Session` over PyMySQL."""

    def __init__(self, *, socket: str) -> None:
        account = own_account()
        try:
            self._connection = pymysql.connect(
                unix_socket=socket,
                user=account,
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=10,
            )
        except pymysql.MySQLError as error:
            raise WebstackError(
                f"The database server behind {socket} does not let the user {account} in: {_text(error)}. "
                f"{_ROOT_WAY_IN if account == 'root' else _OTHER_WAY_IN} Look at: systemctl status mariadb mysql",
            ) from error
        version, comment = self.rows("SELECT @@version, @@version_comment")[0]
        self.server = parse_server(version=version, comment=comment)
        self._prepare()

    def _prepare(self) -> None:
        for statement in _COMMON_SETUP + _ENGINE_SETUP[self.server.engine]:
            legacy = "transaction_isolation" in statement and (
                self.server.engine == "mariadb" and self.server.series < (11, 1)
            )
            self.execute(_ISOLATION_ALIAS if legacy else statement)

    def rows(self, statement: str, arguments: t.Sequence[t.Any] = ()) -> list[tuple[t.Any, ...]]:
        """See `Session.rows`."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, tuple(arguments) or None)
                return list(cursor.fetchall())
        except pymysql.MySQLError as error:
            first = " ".join(statement.split())[:120]
            raise WebstackError(
                f"The database server refused `{first}`: {_text(error)}",
                code=error.args[0] if error.args else None,
            ) from error

    def execute(self, statement: str, arguments: t.Sequence[t.Any] = ()) -> None:
        """See `Session.execute`."""
        self.rows(statement, arguments)

    def close(self) -> None:
        """See `Session.close`."""
        if self._connection.open:
            self._connection.close()


def _text(error: Exception) -> str:
    """The server's own words: the last argument of a PyMySQL error."""
    return str(error.args[-1]) if error.args else str(error)


def connect(*, login_unix_socket: str | None) -> Session:
    """Connect over the unix socket, as `own_account`.

    :raises WebstackError: No PyMySQL, no server, or no access; each names the next command.
    """
    if PYMYSQL_IMPORT_ERROR is not None:
        raise WebstackError(
            "This module needs PyMySQL on the managed host. Install it with: apt-get install python3-pymysql",
            exception=PYMYSQL_IMPORT_ERROR,
        )
    socket = find_socket(login_unix_socket=login_unix_socket)
    if socket is None:
        raise WebstackError(
            f"No database server listens on {login_unix_socket or ' or '.join(DEFAULT_SOCKETS[:1])}. "
            "Start it, or look why it is down, with: systemctl status mariadb mysql",
        )
    return PyMySqlSession(socket=socket)


def is_absent(*, login_unix_socket: str | None) -> bool:
    """Whether this host has no server to look at yet (a fresh host in check mode)."""
    return PYMYSQL_IMPORT_ERROR is not None or find_socket(login_unix_socket=login_unix_socket) is None
