"""What clones are compared by."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._drift import database
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.catalog import Database, Table
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.checksum import TableSum

TABLE = Table(name="orders", engine="InnoDB", size=16384, columns=(), structure="s1")
OBJECTS = {"views": {"v": "v1"}, "triggers": {"t": "t1"}, "routines": {}, "events": {}, "sequences": {}}
SHOP = Database(name="shop", charset="utf8mb4", collation="c", tables=(TABLE,), objects=OBJECTS, definers=())


def digests(shop: Database, **sums: t.Any) -> tuple[str, str]:
    found = database.digests(database=shop, sums={"orders": TableSum(**{"rows": 1, **sums})}, series="mariadb 10.11")
    return found["content"], found["form"]


def with_table(**changes: t.Any) -> Database:
    return dataclasses.replace(SHOP, tables=(dataclasses.replace(TABLE, **changes),))


def with_objects(**changes: dict[str, str]) -> Database:
    return dataclasses.replace(SHOP, objects={**OBJECTS, **changes})


def test_what_a_server_estimates_does_not_count() -> None:
    assert digests(with_table(size=32768)) == digests(SHOP)


@pytest.mark.parametrize(
    ("other", "content", "form"),
    [
        (with_table(structure="s2"), True, False),
        (with_table(name="orders", engine="MyISAM"), True, True),
        (with_objects(views={"v": "v2"}), True, False),
        (with_objects(views={"w": "v1"}), False, False),
        (with_objects(triggers={"t": "t2"}), False, True),
        (with_objects(sequences={"s": "x"}), False, True),
    ],
)
def test_content_is_told_from_form(other: Database, *, content: bool, form: bool) -> None:
    assert [a == b for a, b in zip(digests(other), digests(SHOP), strict=True)] == [content, form]


def test_rows_are_content() -> None:
    assert [digests(SHOP, total=1)[0] == digests(SHOP)[0], digests(SHOP, total=1)[1] == digests(SHOP)[1]] == [
        False,
        True,
    ]
