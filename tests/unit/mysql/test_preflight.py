from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import preflight
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.catalog import KINDS, Database, Table
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Server


def database(*tables: t.Any, **objects: t.Any) -> t.Any:
    return Database(
        name="shop",
        charset="utf8mb4",
        collation="utf8mb4_general_ci",
        definers=(),
        tables=tuple(Table(name=name, engine="InnoDB", size=0, columns=(), structure="") for name in tables),
        objects={kind: dict.fromkeys(objects.get(kind, ()), "") for kind in KINDS},
    )


def judge(target: t.Any, state: t.Any = None, *, replace: bool = False) -> t.Any:
    return preflight.judge_target(
        name="shop", target=target, state=state, dump_id="new", host="web-01", replace=replace
    )


LOADING = {"state": "loading", "dump_id": "old", "incoming": "shop__incoming", "before": None}


@pytest.mark.parametrize("target", [None, database()])
@pytest.mark.parametrize("state", [None, LOADING, {"state": "restored", "dump_id": "new"}])
def test_what_is_absent_or_empty_is_loaded(target: t.Any, state: t.Any) -> None:
    assert judge(target, state) == preflight.Verdict(action=preflight.LOAD)


@pytest.mark.parametrize("kind", KINDS)
def test_anything_at_all_makes_a_database_somebodys(kind: t.Any) -> None:
    assert "was not restored by this collection" in judge(database(**{kind: ["x"]})).problem


def test_a_foreign_database_is_refused_in_plain_words() -> None:
    assert judge(database("a", "b")).problem == (
        "Database `shop` on web-01 already holds 2 tables and was not restored by this collection; nothing was "
        "changed. To put that data aside and restore in its place, name the database: mysql_restore_replace=shop (the "
        "data is kept, and the run says where); or restore on another host."
    )


def test_the_same_dump_is_done() -> None:
    assert judge(database("orders"), {"state": "restored", "dump_id": "new"}).action == preflight.DONE


def test_another_dump_is_refused() -> None:
    problem = judge(database("orders"), {"state": "restored", "dump_id": "old", "finished_at": "then"}).problem
    assert "restored from another dump (old, then), and its data may have moved on since" in problem


def test_a_load_that_was_cut_off_says_nothing_about_the_live_data() -> None:
    restored = {"state": "restored", "dump_id": "new"}
    assert "was not restored by this collection" in judge(database("orders"), LOADING).problem
    assert judge(database("orders"), {**LOADING, "before": restored}).action == preflight.DONE


@pytest.mark.parametrize("dump_id", ["old", "new"])
def test_what_a_failed_replay_has_left_is_put_aside_and_never_taken_for_done(dump_id: str) -> None:
    replaying = {"state": "replaying", "dump_id": dump_id}
    assert judge(database("orders"), replaying) == preflight.Verdict(action=preflight.REPLACE)


@pytest.mark.parametrize("state", [None, LOADING, {"state": "restored", "dump_id": "old"}])
def test_data_is_put_aside_only_by_its_name(state: t.Any) -> None:
    assert judge(database("orders"), state, replace=True) == preflight.Verdict(action=preflight.REPLACE)
    assert judge(database("orders"), state).problem


def test_an_empty_database_can_be_the_restored_one() -> None:
    def judge_empty(target: t.Any, dump_id: str) -> str:
        state = {"state": "restored", "dump_id": dump_id}
        verdict = preflight.judge_target(
            name="shop", target=target, state=state, dump_id="new", host="web-01", holds_nothing=True
        )
        return str(verdict.action)

    assert judge_empty(database(), "new") == preflight.DONE
    assert judge_empty(database(), "old") == preflight.LOAD
    assert judge_empty(None, "new") == preflight.LOAD


def test_a_wrong_name_replaces_nothing() -> None:
    assert preflight.judge_replace(replace=["shop"], names=["shop"]) == []
    assert preflight.judge_replace(replace=["shpo"], names=["shop"]) == [
        "`shpo` is to be replaced, but this restore has only: shop. Give the exact name.",
    ]


def test_references_from_outside_are_refused() -> None:
    assert preflight.judge_references(name="shop", tables=[]) == []
    assert "lead into `shop`: crm.orders." in preflight.judge_references(name="shop", tables=["crm.orders"])[0]


@pytest.mark.parametrize(
    ("engine", "version", "target", "words"),
    [
        ("mariadb", "10.11.14", Server("mariadb", "10.11.2"), None),
        ("mariadb", "10.11.14", Server("mariadb", "11.8.6"), None),
        ("mariadb", "11.8.6", Server("mariadb", "10.11.14"), "newer than this server (MariaDB 10.11.14)"),
        ("mysql", "9.7.0", Server("mysql", "8.4.1"), "newer than this server (MySQL 8.4.1)"),
        ("mysql", "8.0.1", Server("mariadb", "11.8.6"), "goes back into the engine it came from"),
        ("mariadb", "10.11.14", Server("mysql", "9.7.0"), "goes back into the engine it came from"),
    ],
)
def test_engines_and_versions(manifest: t.Any, engine: t.Any, version: t.Any, target: t.Any, words: t.Any) -> None:
    problems = preflight.judge_engine(manifest={**manifest, "engine": engine, "version": version}, server=target)
    assert (problems == []) if words is None else (words in problems[0])


def test_space_has_a_margin() -> None:
    mib = 1024 * 1024
    assert preflight.judge_space(needed=100 * mib, free=248 * mib, path=Path("/d")) == []
    assert preflight.judge_space(needed=100 * mib, free=247 * mib, path=Path("/d")) == [
        "/d has 247.0 MiB left; this restore wants 248.0 MiB there. Free some space. Look with: df -h /d",
    ]


def test_missing_definers_are_listed() -> None:
    assert preflight.judge_definers(missing=[]) == []
    assert "a@b, c@d" in preflight.judge_definers(missing=["a@b", "c@d"])[0]
