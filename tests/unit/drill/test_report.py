"""The verdict of a drill and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drill import report

DUMP = {"id": "d1", "source": "web-02", "path": "/b/d1", "snapshot_at": "2026-01-02T03:00:00.000Z", "files": []}


def moment(seconds: int) -> str:
    return f"2026-01-02T04:{seconds // 60:02d}:{seconds % 60:02d}.000Z"


def begin(earlier: report.Run, *, alive: bool = False, pid: int = 10) -> report.Run:
    return report.begin(earlier, host="spare", moment=moment(0), pid=pid, is_alive=lambda _pid: alive)


def drilled(*, fails_in: str = "", earlier: report.Run | None = None) -> report.Run:
    run = begin(earlier or {})
    facts: dict[str, dict[str, Any]] = {
        "collect": {"dump": DUMP},
        "gate": {"proof": {"tables": 3, "rows": 40}, "gate_from": ["lb-01"]},
    }
    for number, phase in enumerate(["preflight", "collect", "provision", "restore", "gate", "clean up"]):
        run = report.enter_phase({**run, **facts.get(phase, {})}, phase=phase, moment=moment(10 * number))
        if phase == fails_in:
            run = report.note_problem(run, task="restore | Restore", reason="a checksum\ndiffers")
            run = report.enter_phase(run, phase="clean up", moment=moment(10 * number + 5))
            break
    return report.finish(run, moment=moment(70))


def test_a_drill_that_passed_has_its_figures() -> None:
    run = drilled()
    assert (run["verdict"], run["rto_seconds"], run["rpo_seconds"]) == ("passed", 50.0, 3650.0)
    assert [phase["seconds"] for phase in run["phases"]] == [10, 10, 10, 10, 10, 20]
    assert run["last_passed"] == {"finished_at": moment(70), "rto_seconds": 50.0, "rpo_seconds": 3650.0}


def test_a_drill_that_failed_has_none_and_remembers_the_last_that_passed() -> None:
    passed = drilled()
    run = drilled(fails_in="restore", earlier=passed)
    assert (run["verdict"], run["rto_seconds"], run["rpo_seconds"]) == ("failed", None, None)
    assert run["last_passed"] == passed["last_passed"]
    assert run["problems"] == [{"phase": "restore", "task": "restore | Restore", "reason": "a checksum\ndiffers"}]


def test_data_that_is_left_fails_a_drill_that_was_proven() -> None:
    run = drilled(fails_in="clean up")
    assert (run["verdict"], run["rto_seconds"]) == ("failed", 50.0)
    assert run["last_passed"] is None


def test_metrics_are_those_of_the_last_drill_that_passed() -> None:
    passed = drilled()
    text = report.metrics(drilled(fails_in="gate", earlier=passed))
    values = dict(line.split() for line in text.splitlines() if not line.startswith("#"))
    assert values == {
        "phoenix_drill_success": "0",
        "phoenix_drill_last_start_timestamp_seconds": "1767326400",
        "phoenix_drill_last_success_timestamp_seconds": "1767326470",
        "phoenix_drill_rto_seconds": "50.0",
        "phoenix_drill_rpo_seconds": "3650.0",
    }
    assert "phoenix_drill_success 1\n" in report.metrics(passed)


def test_a_drill_that_never_passed_has_no_figure_in_the_metrics() -> None:
    text = report.metrics(begin({}))
    assert "rto" not in text
    assert "phoenix_drill_success 0\n" in text


def test_one_that_is_under_way_is_left_alone() -> None:
    running = begin({})
    with pytest.raises(WebstackError, match=r"Another drill is under way .on spare, process 10,"):
        begin(running, alive=True, pid=11)
    assert begin(running, alive=False, pid=11)["pid"] == 11
    assert begin(drilled(), alive=True, pid=11)["pid"] == 11


def test_the_report_tells_people() -> None:
    table = "\n".join(report.table(drilled()))
    assert "passed: the last backup is a web server again" in table
    assert "3 tables, 40 rows equal to the dump's manifest" in table
    assert "1 h 00 min" in table
    failed = report.markdown(drilled(fails_in="restore"))
    assert failed.startswith("# Drill on spare: failed\n")
    assert "- Failed in restore: restore | Restore: a checksum differs" in failed


def test_a_journal_that_is_broken_hinders_no_drill(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    assert report.load(path) == {}
    path.write_text('{"schema"')
    assert report.load(path) == {}
    path.write_text('{"schema": "another"}')
    assert report.load(path) == {}
