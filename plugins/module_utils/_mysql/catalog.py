# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database consists of, read from information_schema into plain values."""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session

SYSTEM_DATABASES = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
KINDS = ("views", "triggers", "routines", "events", "sequences")


@dataclasses.dataclass(frozen=True)
class Column:
    """One column; ``generated`` ones hold no data of their own and are not part of a content checksum.

    ``charset`` is what its text is in, or nothing where it holds none.
    """

    name: str
    data_type: str
    generated: bool
    nullable: bool = True
    charset: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """One base table. ``structure`` is a digest of its columns, indexes and foreign keys.

    ``versioned`` tables (of MariaDB) keep the history of their rows. ``key`` is the first column of the primary key,
    where that is a whole number.
    """

    name: str
    engine: str
    size: int
    columns: tuple[Column, ...]
    structure: str
    versioned: bool = False
    key: str | None = None


@dataclasses.dataclass(frozen=True)
class Database:
    """One database: its tables, and a digest for each of its other objects by kind and name."""

    name: str
    charset: str
    collation: str
    tables: tuple[Table, ...]
    objects: dict[str, dict[str, str]]
    definers: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of data and indexes, as the server estimates them."""
        return sum(table.size for table in self.tables)

    @property
    def is_empty(self) -> bool:
        """Whether it holds neither tables nor anything else."""
        return not self.tables and not any(self.objects.values())


def digest(*parts: t.Any) -> str:
    """A short SHA-256 over parts of a definition, each kept apart from the next."""
    text = "\x1f".join("" if part is None else _plain(part).strip() for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _plain(value: t.Any) -> str:
    """Text of a catalogue value (some of MySQL's columns come as bytes)."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def existing_databases(*, session: Session) -> dict[str, tuple[str, str]]:
    """Every database of the server with its default character set and collation."""
    rows = session.rows(
        "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA",
    )
    return {_plain(name): (_plain(charset), _plain(collation)) for name, charset, collation in rows}


def user_databases(*, session: Session) -> set[str]:
    """Names of all databases but the server's own."""
    return set(existing_databases(session=session)) - SYSTEM_DATABASES


def read_database(*, session: Session, name: str) -> Database:
    """Read one existing database."""
    charset, collation = existing_databases(session=session)[name]
    rows = session.rows(
        "SELECT TABLE_NAME, ENGINE, TABLE_TYPE, COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0)"
        " FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME",
        (name,),
    )
    columns = _read_columns(session=session, database=name)
    keys = _read_keys(session=session, database=name)
    leading = _read_whole_keys(session=session, database=name)
    tables = tuple(
        Table(
            name=table,
            engine=engine or "",
            size=int(size),
            columns=tuple(column for column, _definition in columns.get(table, [])),
            structure=digest(*[text for _column, text in columns.get(table, [])], *sorted(keys.get(table, []))),
            versioned=kind == "SYSTEM VERSIONED",
            key=leading.get(table),
        )
        for table, engine, kind, size in rows
        if kind in ("BASE TABLE", "SYSTEM VERSIONED")
    )
    definers: set[str] = set()
    objects = {
        "views": _read_views(session=session, database=name, definers=definers),
        "triggers": _read_triggers(session=session, database=name, definers=definers),
        "routines": _read_routines(session=session, database=name, definers=definers),
        "events": _read_events(session=session, database=name, definers=definers),
        "sequences": {table: digest(engine) for table, engine, kind, _size in rows if kind == "SEQUENCE"},
    }
    return Database(
        name=name,
        charset=charset,
        collation=collation,
        tables=tables,
        objects=objects,
        definers=tuple(sorted(definers)),
    )


def _read_columns(*, session: Session, database: str) -> dict[str, list[tuple[Column, str]]]:
    """Columns by table in their order, each with the text its structure digest is made of."""
    rows = session.rows(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA,"
        " CHARACTER_SET_NAME, COLLATION_NAME, GENERATION_EXPRESSION FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME, ORDINAL_POSITION",
        (database,),
    )
    columns: dict[str, list[tuple[Column, str]]] = {}
    for table, name, data_type, *rest in rows:
        column = Column(
            name=_plain(name),
            data_type=_plain(data_type).lower(),
            generated=bool(rest[-1]),
            nullable=_plain(rest[1]) == "YES",
            charset=_plain(rest[4]).lower() if rest[4] else None,
        )
        columns.setdefault(_plain(table), []).append((column, digest("column", name, *rest)))
    return columns


def _read_whole_keys(*, session: Session, database: str) -> dict[str, str]:
    """The first column of the primary key by table, of those where it is a whole number."""
    rows = session.rows(
        "SELECT s.TABLE_NAME, s.COLUMN_NAME FROM information_schema.STATISTICS s"
        " JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = s.TABLE_SCHEMA AND c.TABLE_NAME = s.TABLE_NAME"
        " AND c.COLUMN_NAME = s.COLUMN_NAME WHERE s.TABLE_SCHEMA = %s AND s.INDEX_NAME = 'PRIMARY'"
        " AND s.SEQ_IN_INDEX = 1 AND c.DATA_TYPE IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint')",
        (database,),
    )
    return {_plain(table): _plain(column) for table, column in rows}


def _read_keys(*, session: Session, database: str) -> dict[str, list[str]]:
    """Index parts and foreign keys by table, as texts for the structure digest."""
    keys: dict[str, list[str]] = {}
    indexes = session.rows(
        "SELECT TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE, SUB_PART, INDEX_TYPE"
        " FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s",
        (database,),
    )
    for table, *rest in indexes:
        keys.setdefault(_plain(table), []).append(digest("index", *rest))
    references = session.rows(
        "SELECT k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA,"
        " k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.UPDATE_RULE, r.DELETE_RULE"
        " FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.REFERENTIAL_CONSTRAINTS r"
        " ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME"
        " AND r.TABLE_NAME = k.TABLE_NAME WHERE k.TABLE_SCHEMA = %s",
        (database,),
    )
    for table, constraint, position, column, schema, *rest in references:
        # A table that moves to another database takes the references within its own along.
        other = "" if _plain(schema) == database else schema
        keys.setdefault(_plain(table), []).append(digest("reference", constraint, position, column, other, *rest))
    return keys


def _read_views(*, session: Session, database: str, definers: set[str]) -> dict[str, str]:
    rows = session.rows(
        "SELECT TABLE_NAME, DEFINER, SECURITY_TYPE, CHECK_OPTION, VIEW_DEFINITION"
        " FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s",
        (database,),
    )
    definers.update(_plain(row[1]) for row in rows)
    return {_plain(name): digest(*rest) for name, *rest in rows}


def _read_triggers(*, session: Session, database: str, definers: set[str]) -> dict[str, str]:
    rows = session.rows(
        "SELECT TRIGGER_NAME, DEFINER, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER,"
        " ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s",
        (database,),
    )
    definers.update(_plain(row[1]) for row in rows)
    return {_plain(name): digest(*rest) for name, *rest in rows}


def _read_routines(*, session: Session, database: str, definers: set[str]) -> dict[str, str]:
    """Routines under ``function name`` and ``procedure name``: one name may be both."""
    rows = session.rows(
        "SELECT ROUTINE_TYPE, ROUTINE_NAME, DEFINER, SECURITY_TYPE, IS_DETERMINISTIC, SQL_DATA_ACCESS,"
        " ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s",
        (database,),
    )
    definers.update(_plain(row[2]) for row in rows)
    return {f"{_plain(kind).lower()} {_plain(name)}": digest(*rest) for kind, name, *rest in rows}


def _read_events(*, session: Session, database: str, definers: set[str]) -> dict[str, str]:
    rows = session.rows(
        "SELECT EVENT_NAME, DEFINER, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD, EVENT_DEFINITION"
        " FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s",
        (database,),
    )
    definers.update(_plain(row[1]) for row in rows)
    return {_plain(name): digest(*rest) for name, *rest in rows}


def references_from_outside(*, session: Session, name: str) -> list[str]:
    """Foreign keys of other databases that lead into this one, as ``other.table``."""
    rows = session.rows(
        "SELECT DISTINCT CONSTRAINT_SCHEMA, TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS"
        " WHERE UNIQUE_CONSTRAINT_SCHEMA = %s AND CONSTRAINT_SCHEMA <> %s",
        (name, name),
    )
    return sorted(f"{_plain(schema)}.{_plain(table)}" for schema, table in rows)


def missing_accounts(*, session: Session, accounts: t.Iterable[str]) -> list[str]:
    """Which of the accounts (``name@host``; a MariaDB role is a name alone) do not exist on this server."""
    existing = {f"{_plain(user)}@{_plain(host)}" for user, host in session.rows("SELECT User, Host FROM mysql.user")}
    return sorted(
        account for account in set(accounts) if account not in existing and f"{account.rstrip('@')}@" not in existing
    )
