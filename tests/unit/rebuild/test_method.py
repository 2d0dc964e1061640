"""Whether a survivor's data comes as files or as text."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import method


def shown(engine: str = "mariadb", version: str = "10.11.11", **changes: t.Any) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {
        "os": {"id": "debian", "version": "12"}, "databases": {}, "cut_off": {}, "data_directory_mounted": False,
        "can_copy": True,
        "database_server": {"engine": engine, "version": version},
    }  # fmt: skip
    return {**found, **changes}


def database(*, empty: bool = False, innodb_only: bool = True) -> dict[str, t.Any]:
    return {"bytes": 0 if empty else 9, "empty": empty, "innodb_only": innodb_only}


def choose(
    wanted: str = "auto", *, source: dict[str, t.Any] | None = None, target: dict[str, t.Any] | None = None
) -> method.Choice:
    return method.choose(
        wanted,
        source=source or shown(databases={"shop": database()}),
        target=target or shown(engine="", version=""),
        databases=["shop"],
    )


def test_files_are_copied_where_nothing_speaks_against_it() -> None:
    assert choose() == ("physical", "same mariadb 10.11.11 on both, nothing else on either", ())
    patched = shown(version="10.11.14", databases={"shop": database(empty=True)})
    assert choose(target=patched).method == "physical"


def test_what_a_cut_off_restore_has_left_does_not_count() -> None:
    remains = shown(engine="", version="", databases={"shop": database()}, cut_off={"shop": "d1"})
    assert choose(target=remains).method == "physical"


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (
            {},
            {"engine": "mariadb", "version": "11.8.2"},
            "the replacement has mariadb 11.8.2 and the source mariadb 10",
        ),
        ({}, {"engine": "", "os": {"id": "debian", "version": "13"}}, "the replacement's debian 13 will have another"),
        ({"databases": {"shop": database(), "blog": database()}}, {}, "the source has databases that are not to be"),
        ({"can_copy": False}, {}, "the source has no mariadb-backup, which phoenix.webstack.site installs"),
        ({}, {"databases": {"blog": database()}}, "the replacement holds data of an earlier run: blog"),
        ({}, {"data_directory_mounted": True}, "the replacement's data directory is a file system of its own"),
        (
            {"engine": "mysql", "version": "9.7.0", "databases": {"shop": database(innodb_only=False)}},
            {"engine": ""},
            "MySQL clones InnoDB tables alone, and there are others in shop",
        ),
    ],
)
def test_text_is_taken_where_something_does(source: dict[str, t.Any], target: dict[str, t.Any], said: str) -> None:
    survivor, replacement = shown(**{"databases": {"shop": database()}, **source}), shown(**target)
    auto = choose(source=survivor, target=replacement)
    assert auto.method == "logical"
    assert auto.reason.startswith(f"since {said}")
    (problem,) = choose("physical", source=survivor, target=replacement).problems
    assert problem.startswith(f"A physical copy was asked for (mysql_restore_method=physical), but {said}")


def test_text_can_be_asked_for() -> None:
    assert choose("logical") == ("logical", "as asked", ())


def test_mariadb_copies_tables_of_every_engine() -> None:
    assert choose(source=shown(databases={"shop": database(innodb_only=False)})).method == "physical"
