from __future__ import annotations

import datetime
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import retention

NOW = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.timezone.utc)


def dump_set(
    day: int, *, host: str = "web-02", valid: bool = True, names: t.Sequence[str] = ("shop",), tables: int = 1
) -> dict[str, t.Any]:
    databases: dict[str, t.Any] = {name: {"tables": {f"t{number}": {} for number in range(tables)}} for name in names}
    manifest = {"host": host, "snapshot_at": f"2026-11-{day:02}T03:00:00.000Z", "databases": databases}
    return {"id": f"day {day}", "valid": valid, "manifest": manifest if valid else None}


def expired(sets: list[dict[str, t.Any]], *, keep: int = 0, days: int = 0) -> list[str]:
    gone = retention.expired(sets=sets, host="web-02", databases=["shop"], keep=keep, keep_days=days, now=NOW)
    return [each["id"] for each in gone]


SETS = [dump_set(day) for day in (30, 29, 28, 20, 10)]


@pytest.mark.parametrize(
    ("keep", "days", "gone"),
    [
        (0, 0, []),
        (2, 0, ["day 28", "day 20", "day 10"]),
        (9, 0, []),
        (0, 7, ["day 20", "day 10"]),
        (4, 7, ["day 10"]),
        (1, 15, ["day 10"]),
    ],
)
def test_number_or_age_keeps_a_set(keep: int, days: int, gone: list[str]) -> None:
    assert expired(SETS, keep=keep, days=days) == gone


def test_the_last_good_set_stays_whatever_its_age() -> None:
    assert expired([dump_set(30, valid=False), dump_set(1)], days=7) == []
    assert expired([dump_set(30, valid=False), dump_set(2), dump_set(1)], days=7) == ["day 1"]


def test_sets_of_others_and_of_other_databases_are_left_alone() -> None:
    others = [dump_set(3, host="web-01"), dump_set(2, names=("shop", "crm"))]
    assert expired([dump_set(30), *others, dump_set(1)], keep=1) == ["day 1"]


def test_what_was_dumped_by_hand_is_not_the_schedules() -> None:
    sets = [dump_set(day) for day in (30, 29, 28)]
    for each in sets[:2]:
        each["manifest"]["origin"] = "schedule"
    given: dict[str, t.Any] = {
        "sets": sets,
        "host": "web-02",
        "databases": ["shop"],
        "keep": 1,
        "keep_days": 0,
        "now": NOW,
    }
    gone = {origin: retention.expired(**given, origin=origin) for origin in ("schedule", "request", None)}
    assert {origin: [each["id"] for each in found] for origin, found in gone.items()} == {
        "schedule": ["day 29"],
        "request": [],
        None: ["day 29", "day 28"],
    }


def test_dumps_of_nothing_do_not_make_the_good_ones_go() -> None:
    nothing = [dump_set(day, tables=0) for day in (30, 29, 28)]
    assert expired([*nothing, dump_set(20), dump_set(10)], keep=1) == ["day 10", "day 29", "day 28"]


def test_a_set_goes_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "20261101T030000Z-web-02"
    path.mkdir()
    (path / "manifest.json").write_text("{}")
    retention.remove(path)
    assert list(tmp_path.iterdir()) == []
