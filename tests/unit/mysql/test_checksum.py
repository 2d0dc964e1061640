from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import checksum
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.catalog import Column, Database, Table

from .conftest import FakeSession


def table(name: t.Any = "t", *columns: t.Any, size: t.Any = 1) -> t.Any:
    return Table(name=name, engine="InnoDB", size=size, columns=columns, structure="")


@pytest.mark.parametrize(
    ("data_type", "expression"),
    [
        ("int", "IFNULL(`c`, 'NULL')"),
        ("timestamp", "IFNULL(`c`, 'NULL')"),
        ("bit", "IFNULL(`c` + 0, 'NULL')"),
        ("varchar", "IFNULL(LENGTH(CONVERT(`c` USING utf8mb4)), 'NULL'), CONVERT(`c` USING utf8mb4)"),
        ("longtext", "IFNULL(SHA2(CONVERT(`c` USING utf8mb4), 256), 'NULL')"),
        ("varbinary", "IFNULL(HEX(`c`), 'NULL')"),
        ("geometry", "IFNULL(SHA2(`c`, 256), 'NULL')"),
        ("inet6", "QUOTE(CAST(`c` AS CHAR CHARACTER SET utf8mb4))"),
    ],
)
def test_each_type_has_one_form(data_type: t.Any, expression: t.Any) -> None:
    assert checksum.column_expression(column=Column(name="c", data_type=data_type, generated=False)) == expression


def test_what_cannot_be_null_or_needs_no_conversion_is_cheaper() -> None:
    text = Column(name="c", data_type="varchar", generated=False, nullable=False, charset="utf8mb4")
    assert checksum.column_expression(column=text) == "LENGTH(`c`), `c`"
    number = Column(name="c", data_type="int", generated=False, nullable=False)
    assert checksum.column_expression(column=number) == "`c`"


def test_generated_columns_are_left_out() -> None:
    statement = checksum.table_statement(
        database="d",
        table=table("t", Column("a", "int", generated=False), Column("b", "int", generated=True)),
    )
    assert "`a`" in statement
    assert "`b`" not in statement


def test_names_with_backticks_are_quoted() -> None:
    assert "FROM `d``1`.`t``2`" in checksum.table_statement(database="d`1", table=table("t`2"))


def test_sums_add_up_in_parts() -> None:
    both = checksum.TableSum(rows=2, total=2**64 - 1) + checksum.TableSum(rows=1, total=2)
    assert both.as_result() == {"rows": 3, "checksum": "0000000000000001"}


def test_a_large_table_is_summed_in_chunks_that_leave_no_row_out() -> None:
    large = dataclasses.replace(table("t", size=4 * 64 * 1024 * 1024), key="id")
    session = FakeSession([("MIN(`id`)", [(-10, 30)])])
    chunks = checksum.split_table(session=session, database="d", table=large)
    assert [chunk.condition for chunk in chunks] == [
        "`id` < 0",
        "`id` >= 0 AND `id` < 10",
        "`id` >= 10 AND `id` < 20",
        "`id` >= 20",
    ]
    assert "WHERE `id` >= 20" in checksum.table_statement(database="d", table=large, condition=chunks[-1].condition)


@pytest.mark.parametrize(
    ("change", "ends"), [({"key": None}, (1, 9)), ({"versioned": True}, (1, 9999)), ({}, (None, None)), ({}, (1, 2))]
)
def test_what_cannot_be_split_is_summed_whole(change: t.Any, ends: t.Any) -> None:
    large = dataclasses.replace(table("t", size=2**30), **{"key": "id", **change})
    (chunk,) = checksum.split_table(session=FakeSession([("MIN(", [ends])]), database="d", table=large)
    assert (chunk.condition, chunk.size) == ("", 2**30)


def test_all_tables_are_summed_on_all_sessions() -> None:
    sessions = [FakeSession([("SELECT COUNT", [(3, 7)])]) for _each in range(2)]
    databases = [
        Database(
            name="d",
            charset="",
            collation="",
            objects={},
            definers=(),
            tables=tuple(table(f"t{n}", size=n) for n in range(10)),
        )
    ]
    sums = checksum.sum_databases(sessions=sessions, databases=databases)
    assert len(sums["d"]) == 10
    assert sum(len(session.ran) for session in sessions) == 10
    assert sums["d"]["t3"].rows == 3


def test_a_database_without_tables_is_described() -> None:
    empty = Database(name="d", charset="", collation="", objects={}, definers=(), tables=())
    assert checksum.sum_databases(sessions=[FakeSession()], databases=[empty]) == {"d": {}}


def test_a_tiny_packet_size_is_refused() -> None:
    with pytest.raises(WebstackError, match="max_allowed_packet"):
        checksum.require_packet_size(session=FakeSession([("max_allowed_packet", [(1024,)])]))


def test_the_history_of_a_versioned_table_counts_but_is_no_row() -> None:
    session = FakeSession([("FOR SYSTEM_TIME ALL", [(5, 100)]), ("COUNT(*)", [(2, 40)])])
    versioned = Table(name="t", engine="InnoDB", size=1, columns=(), structure="", versioned=True)
    summed = checksum.sum_table(session=session, database="shop", table=versioned)
    assert (summed.rows, summed.total) == (2, 140)
