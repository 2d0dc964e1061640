# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content checksums of tables: equal for equal rows on MariaDB and MySQL, whatever the order of the rows.

Each row becomes one text that cannot be confused with another row's: numbers and times as they print in UTC
and an empty ``sql_mode``, short texts in utf8mb4 behind their length in bytes, binary values as hexadecimal digits,
large ones (BLOB, TEXT, JSON, geometry) as their SHA-256, and NULL as the bare word. The first 64 bits of the
SHA-256 of that text are a number; a table's checksum is the sum of them over all rows, modulo 2^64, so that
neither the order of rows nor a primary key matters, duplicates count, and parts of a table can be added up. One
accident in 2^64 would go unnoticed. A second number from the same hash would cost half as much again: servers
compute an expression anew wherever it is used.

Generated columns are left out: they follow from the others. FLOAT columns count with the six digits that the
servers print and that the dump clients write. MD5 would be no cheaper, and MySQL 9.6 took it out of the server.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import queue
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import identifier

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.catalog import Column, Database, Table
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session

_PLAIN = frozenset(
    {
        "tinyint",
        "smallint",
        "mediumint",
        "int",
        "integer",
        "bigint",
        "decimal",
        "numeric",
        "float",
        "double",
        "real",
        "date",
        "time",
        "datetime",
        "timestamp",
        "year",
    }
)
_SHORT_TEXT = frozenset({"char", "varchar", "enum", "set"})
_LARGE_TEXT = frozenset({"tinytext", "text", "mediumtext", "longtext", "json"})
_SHORT_BINARY = frozenset({"binary", "varbinary"})
_LARGE_BINARY = frozenset(
    {
        "tinyblob",
        "blob",
        "mediumblob",
        "longblob",
        "vector",
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
        "geomcollection",
    }
)
_MODULUS = 2**64


# Tables are summed in chunks of about this size, in bytes, where their key allows: all sessions have work to the end.
_CHUNK = 64 * 1024 * 1024
_MOST_CHUNKS = 256


@dataclasses.dataclass(frozen=True)
class TableSum:
    """Rows of a table (or of a part of one) and the sum over their hashes."""

    rows: int = 0
    total: int = 0

    def __add__(self, other: TableSum) -> TableSum:
        return TableSum(rows=self.rows + other.rows, total=self.total + other.total)

    @property
    def checksum(self) -> str:
        """The checksum as 16 hexadecimal digits."""
        return f"{self.total % _MODULUS:016x}"

    def as_result(self) -> dict[str, t.Any]:
        """The form that manifests and results use."""
        return {"rows": self.rows, "checksum": self.checksum}


@dataclasses.dataclass(frozen=True)
class _Chunk:
    """A part of a table that one statement sums: what its key is, as SQL, and how many bytes that may be."""

    database: str
    table: Table
    condition: str
    size: int


def column_expression(*, column: Column) -> str:
    """SQL for one column's part of the row text, as one or more arguments of ``CONCAT_WS``; the first is never NULL."""
    name = identifier(column.name)
    if column.data_type in _PLAIN:
        return _or_null(name, column)
    if column.data_type == "bit":
        return _or_null(f"{name} + 0", column)
    if column.data_type in _SHORT_TEXT:
        # CONVERT is not free, even where it has nothing to do. CONCAT_WS leaves out what is NULL.
        text = name if column.charset == "utf8mb4" else f"CONVERT({name} USING utf8mb4)"
        return f"{_or_null(f'LENGTH({text})', column)}, {text}"
    if column.data_type in _SHORT_BINARY:
        return _or_null(f"HEX({name})", column)
    if column.data_type in _LARGE_TEXT:
        return _or_null(f"SHA2(CONVERT({name} USING utf8mb4), 256)", column)
    if column.data_type in _LARGE_BINARY:
        return _or_null(f"SHA2({name}, 256)", column)
    return f"QUOTE(CAST({name} AS CHAR CHARACTER SET utf8mb4))"  # inet4, inet6, uuid and what may come


def _or_null(expression: str, column: Column) -> str:
    return f"IFNULL({expression}, 'NULL')" if column.nullable else expression


def table_statement(*, database: str, table: Table, history: bool = False, condition: str = "") -> str:
    """The one scan that counts and hashes a table, or with ``history`` all that a versioned one ever had.

    :arg condition: Which rows, as SQL; all of them without.
    """
    parts = [column_expression(column=column) for column in table.columns if not column.generated]
    row = f"SHA2(CONCAT_WS(',', {', '.join(parts)}), 256)" if parts else "SHA2('', 256)"
    period = " FOR SYSTEM_TIME ALL" if history else ""
    return (
        f"SELECT COUNT(*), COALESCE(SUM(CAST(CONV(LEFT({row}, 16), 16, 10) AS UNSIGNED)), 0)"
        f" FROM {identifier(database)}.{identifier(table.name)}{period}{f' WHERE {condition}' if condition else ''}"
    )


def sum_table(*, session: Session, database: str, table: Table, condition: str = "") -> TableSum:
    """Count and hash one table, or a part of it, in the session's transaction.

    The history of a versioned table is added to the checksum, not to the rows: whether a row is of today counts too.
    """
    rows, total = session.rows(table_statement(database=database, table=table, condition=condition))[0]
    now = TableSum(rows=int(rows), total=int(total))
    if not table.versioned:
        return now
    _rows, total = session.rows(table_statement(database=database, table=table, history=True))[0]
    return dataclasses.replace(now, total=now.total + int(total))


def split_table(*, session: Session, database: str, table: Table) -> list[_Chunk]:
    """Split a large table by ranges of its key, where that is a number; the ends are open, so no row is left out."""
    count = min(_MOST_CHUNKS, table.size // _CHUNK)
    whole = [_Chunk(database=database, table=table, condition="", size=table.size)]
    if count < 2 or table.key is None or table.versioned:
        return whole
    key = identifier(table.key)
    first, last = session.rows(f"SELECT MIN({key}), MAX({key}) FROM {identifier(database)}.{identifier(table.name)}")[0]
    if first is None or int(last) - int(first) < count:
        return whole
    bounds = [int(first) + (int(last) - int(first)) * number // count for number in range(1, count)]
    conditions = [
        f"{key} < {bounds[0]}",
        *(f"{key} >= {lower} AND {key} < {upper}" for lower, upper in zip(bounds, bounds[1:])),
        f"{key} >= {bounds[-1]}",
    ]
    return [
        _Chunk(database=database, table=table, condition=condition, size=table.size // count)
        for condition in conditions
    ]


def sum_databases(
    *,
    sessions: t.Sequence[Session],
    databases: t.Sequence[Database],
    advance: t.Callable[[int], None] = lambda _count: None,
) -> dict[str, dict[str, TableSum]]:
    """Hash all tables of some databases, largest first, one table or chunk of one at a time on each session.

    :arg sessions: Connections to the same server, in the same snapshot where that matters.
    :arg advance: Told the bytes of each table or chunk that is done.
    :returns: The sums by database and table.
    """
    idle: queue.SimpleQueue[Session] = queue.SimpleQueue()
    for session in sessions:
        idle.put(session)

    def work(chunk: _Chunk) -> TableSum:
        session = idle.get()
        try:
            return sum_table(session=session, database=chunk.database, table=chunk.table, condition=chunk.condition)
        finally:
            idle.put(session)
            advance(chunk.size)

    chunks = [
        chunk
        for database in databases
        for table in database.tables
        for chunk in split_table(session=sessions[0], database=database.name, table=table)
    ]
    sums = {database.name: {table.name: TableSum() for table in database.tables} for database in databases}
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(sessions)) as pool:
        ordered = sorted(chunks, key=lambda chunk: chunk.size, reverse=True)
        for chunk, found in zip(ordered, pool.map(work, ordered)):
            sums[chunk.database][chunk.table.name] += found
    return sums


def require_packet_size(*, session: Session) -> None:
    """Refuse a server whose ``max_allowed_packet`` would cut the text of a row (CONCAT gives NULL then)."""
    size = int(session.rows("SELECT @@max_allowed_packet")[0][0])
    if size < 1024 * 1024:
        raise WebstackError(
            f"The server's max_allowed_packet is {size} bytes; content checksums need 1 MiB at least. "
            "Raise it with: SET GLOBAL max_allowed_packet = 16777216",
        )
