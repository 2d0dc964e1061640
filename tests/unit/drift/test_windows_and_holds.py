"""When a correction may change something, and which host it leaves alone."""

from __future__ import annotations

import datetime
import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.action.drift_begin import begin
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.hold import read_hold
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift.windows import may_correct

MONDAY = datetime.datetime(2026, 1, 5, tzinfo=datetime.timezone.utc)
NIGHT = {"from": "22:00", "to": "04:00", "days": ["mon"]}


def at(day: int, clock: str) -> datetime.datetime:
    hour, minute = map(int, clock.split(":"))
    return MONDAY + datetime.timedelta(days=day, hours=hour, minutes=minute)


@pytest.mark.parametrize(
    ("windows", "now", "open_now"),
    [
        ([], at(0, "12:00"), True),
        ([{"from": "09:00", "to": "10:00"}], at(3, "09:00"), True),
        ([{"from": "09:00", "to": "10:00"}], at(3, "10:00"), False),
        ([NIGHT], at(0, "21:59"), False),
        ([NIGHT], at(0, "22:00"), True),
        ([NIGHT], at(1, "03:59"), True),  # it began on Monday
        ([NIGHT], at(0, "03:59"), False),  # that one began on Sunday
        ([NIGHT], at(1, "22:30"), False),
        ([{"from": "09:00", "to": "10:00", "days": ["Saturday"]}, NIGHT], at(5, "09:30"), True),
    ],
)
def test_a_window_is_open_or_not(windows: list[dict[str, t.Any]], now: datetime.datetime, open_now: bool) -> None:
    assert may_correct(windows, now=now) is open_now


@pytest.mark.parametrize(
    "window", [{"from": "9"}, {"from": "09:00"}, {"from": "25:00", "to": "01:00"}, {**NIGHT, "days": ["someday"]}]
)
def test_a_window_that_means_nothing_is_refused(window: dict[str, t.Any]) -> None:
    with pytest.raises(WebstackError, match="drift_windows"):
        may_correct([window], now=MONDAY)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (json.dumps({"reason": "debugging", "by": "ana", "until": "2026-01-05T01:00:00Z"}), True),
        (json.dumps({"reason": "debugging", "by": "ana", "until": "2026-01-04T23:59:00"}), False),
        (json.dumps({"reason": "for good"}), True),
        ("{", True),
        ('{"until": "tomorrow"}', True),
        (None, False),
    ],
)
def test_a_hold_expires_alone(tmp_path: Path, text: str | None, holds: bool) -> None:
    path = tmp_path / "hold.json"
    if text is not None:
        path.write_text(text)
    assert (read_hold(now=MONDAY, path=path) is not None) is holds


def args(tmp_path: Path, **values: t.Any) -> dict[str, t.Any]:
    return {
        "mode": "check",
        "hosts": ["web-01"],
        "correct": ["nginx"],
        "windows": [],
        "directory": str(tmp_path),
        **values,
    }


def test_a_run_whose_report_would_be_lost_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WebstackError, match=r"callbacks_enabled = phoenix\.webstack\.drift"):
        begin(args(tmp_path), enabled=["ansible.posix.timer"], now=MONDAY)


@pytest.mark.parametrize(
    ("given", "correct"),
    [
        ({}, []),
        ({"mode": "correct"}, ["nginx"]),
        ({"mode": "ssh_only"}, ["ssh_lifeline", "ufw"]),
        ({"mode": "correct", "windows": [{"from": "09:00", "to": "10:00"}]}, []),
    ],
)
def test_what_a_run_may_correct(tmp_path: Path, given: dict[str, t.Any], correct: list[str]) -> None:
    begun = begin(args(tmp_path, **given), enabled=["phoenix.webstack.drift"], now=MONDAY)
    assert begun["correct"] == correct
    assert bool(begun["notes"]) is bool(given.get("windows"))
