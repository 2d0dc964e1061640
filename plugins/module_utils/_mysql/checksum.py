# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content checksums of tables: equal for equal rows on MariaDB and MySQL, whatever the order of the rows.

Each row becomes one text that cannot be confused with another row's: numbers and times as they print in UTC
and an empty ``sql_mode``, short texts in utf8mb4 and quoted, binary values as hexadecimal digits, large ones
(BLOB, TEXT, JSON, geometry) as their SHA-256, and NULL as the bare word. The SHA-256 of that text gives two
64-bit numbers; a table's checksum is the two sums of them over all rows, modulo 2^64, so that neither the order
of rows nor a primary key matters, duplicates count, and parts of a table can be added up.

Generated columns are left out: they follow from the others. FLOAT columns count with the six digits that the
servers print and that the dump clients write. MD5 would be cheaper, but MySQL 9.6 took it out of the server.
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


@dataclasses.dataclass(frozen=True)
class TableSum:
    """Rows of a table (or of a part of one) and the two sums over their hashes."""

    rows: int = 0
    high: int = 0
    low: int = 0

    def __add__(self, other: TableSum) -> TableSum:
        return TableSum(rows=self.rows + other.rows, high=self.high + other.high, low=self.low + other.low)

    @property
    def checksum(self) -> str:
        """The checksum as 32 hexadecimal digits."""
        return f"{self.high % _MODULUS:016x}{self.low % _MODULUS:016x}"

    def as_result(self) -> dict[str, t.Any]:
        """The form that manifests and results use."""
        return {"rows": self.rows, "checksum": self.checksum}


def column_expression(*, column: Column) -> str:
    """SQL for one column's part of the row text; it is never NULL."""
    name = identifier(column.name)
    if column.data_type in _PLAIN:
        return f"IFNULL({name}, 'NULL')"
    if column.data_type == "bit":
        return f"IFNULL({name} + 0, 'NULL')"
    if column.data_type in _SHORT_TEXT:
        return f"QUOTE(CONVERT({name} USING utf8mb4))"
    if column.data_type in _SHORT_BINARY:
        return f"IFNULL(HEX({name}), 'NULL')"
    if column.data_type in _LARGE_TEXT:
        return f"IFNULL(SHA2(CONVERT({name} USING utf8mb4), 256), 'NULL')"
    if column.data_type in _LARGE_BINARY:
        return f"IFNULL(SHA2({name}, 256), 'NULL')"
    return f"QUOTE(CAST({name} AS CHAR CHARACTER SET utf8mb4))"  # inet4, inet6, uuid and what may come


def table_statement(*, database: str, table: Table, history: bool = False) -> str:
    """The one scan that counts and hashes a table, or with ``history`` all that a versioned one ever had."""
    parts = [column_expression(column=column) for column in table.columns if not column.generated]
    row = f"SHA2(CONCAT_WS(',', {', '.join(parts)}), 256)" if parts else "SHA2('', 256)"
    period = " FOR SYSTEM_TIME ALL" if history else ""
    return (
        "SELECT COUNT(*),"
        " COALESCE(SUM(CAST(CONV(LEFT(h, 16), 16, 10) AS UNSIGNED)), 0),"
        " COALESCE(SUM(CAST(CONV(SUBSTRING(h, 17, 16), 16, 10) AS UNSIGNED)), 0)"
        f" FROM (SELECT {row} AS h FROM {identifier(database)}.{identifier(table.name)}{period}) AS hashed"
    )


def sum_table(*, session: Session, database: str, table: Table) -> TableSum:
    """Count and hash one table in the session's transaction.

    The history of a versioned table is added to the checksum, not to the rows: whether a row is of today counts too.
    """
    rows, high, low = session.rows(table_statement(database=database, table=table))[0]
    now = TableSum(rows=int(rows), high=int(high), low=int(low))
    if not table.versioned:
        return now
    _rows, high, low = session.rows(table_statement(database=database, table=table, history=True))[0]
    return dataclasses.replace(now + TableSum(high=int(high), low=int(low)), rows=now.rows)


def sum_databases(
    *,
    sessions: t.Sequence[Session],
    databases: t.Sequence[Database],
    advance: t.Callable[[int], None] = lambda _count: None,
) -> dict[str, dict[str, TableSum]]:
    """Hash all tables of some databases, largest first, one table at a time on each session.

    :arg sessions: Connections to the same server, in the same snapshot where that matters.
    :arg advance: Told the bytes of each table that is done.
    :returns: The sums by database and table.
    """
    idle: queue.SimpleQueue[Session] = queue.SimpleQueue()
    for session in sessions:
        idle.put(session)

    def work(database: str, table: Table) -> TableSum:
        session = idle.get()
        try:
            return sum_table(session=session, database=database, table=table)
        finally:
            idle.put(session)
            advance(table.size)

    jobs = sorted(
        ((database.name, table) for database in databases for table in database.tables),
        key=lambda job: job[1].size,
        reverse=True,
    )
    sums: dict[str, dict[str, TableSum]] = {database.name: {} for database in databases}
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(sessions)) as pool:
        futures = [(name, table.name, pool.submit(work, name, table)) for name, table in jobs]
        for name, table_name, future in futures:
            sums[name][table_name] = future.result()
    return sums


def require_packet_size(*, session: Session) -> None:
    """Refuse a server whose ``max_allowed_packet`` would cut the text of a row (CONCAT gives NULL then)."""
    size = int(session.rows("SELECT @@max_allowed_packet")[0][0])
    if size < 1024 * 1024:
        raise WebstackError(
            f"The server's max_allowed_packet is {size} bytes; content checksums need 1 MiB at least. "
            "Raise it with: SET GLOBAL max_allowed_packet = 16777216",
        )
