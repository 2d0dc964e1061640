"""The journal outlives a killed run; the report is made of it."""

from __future__ import annotations

import pathlib
import stat

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import journal, report


def moment(second: float) -> str:
    return f"2026-01-02T03:04:{second:06.3f}Z"


def finished() -> journal.Run:
    run = journal.begin({}, host="web-01", address="192.0.2.21", moment=moment(0), facts={"source": "web-02"})
    for phase, start in (("preflight", 0), ("provision", 2), ("restore", 12), ("repoint", 20), ("verify", 21)):
        run = journal.enter(run, phase=phase, moment=moment(start))
    run["dump"] = {"id": "d", "snapshot_at": moment(5)}
    run["proof"] = {"tables": 16, "rows": 47271}
    return journal.finish(run, moment=moment(23.5))


def test_a_phase_ends_where_the_next_begins() -> None:
    phases = {phase["name"]: phase["seconds"] for phase in finished()["phases"]}
    assert phases == {"preflight": 2, "provision": 10, "restore": 8, "repoint": 1, "verify": 2.5}


def test_entering_the_present_phase_goes_on_with_it() -> None:
    run = journal.enter({"phases": []}, phase="gate", moment=moment(1))
    assert journal.enter(run, phase="gate", moment=moment(2)) == run


def test_a_killed_run_goes_on_with_its_first_start() -> None:
    killed = journal.begin({}, host="web-01", address="a", moment=moment(0), facts={"old_address": "o", "source": "s"})
    again = journal.begin(killed, host="web-01", address="a", moment=moment(9), facts={"old_address": None})
    assert (again["started_at"], again["attempts"], again["old_address"]) == (moment(0), 2, "o")


@pytest.mark.parametrize("address", ["a", "b"])
def test_a_finished_run_or_another_address_starts_afresh(address: str) -> None:
    earlier = journal.begin({}, host="web-01", address="a", moment=moment(0), facts={"old_address": "o"})
    if address == "a":
        earlier = journal.finish(earlier, moment=moment(5))
    again = journal.begin(earlier, host="web-01", address=address, moment=moment(9), facts={})
    assert (again["started_at"], again["attempts"]) == (moment(9), 1)
    assert "old_address" not in again


def test_the_report_tells_rto_and_rpo() -> None:
    summary = report.summarise(finished())
    assert (summary["rto_seconds"], summary["rpo_seconds"], summary["data_as_of"]) == (23.5, 15, moment(5))
    text = "\n".join(report.table(summary))
    assert "Recovery time (RTO)    23.5 s" in text
    assert "16 tables, 47271 rows equal to the source's at that moment" in text
    assert "| provision | 2026-01-02T03:04:02.000Z | 10.0 s |" in report.markdown(summary)


def test_what_was_replayed_makes_the_data_younger() -> None:
    summary = report.summarise({**finished(), "changes": {"until": moment(9)}})
    assert (summary["rpo_seconds"], summary["data_as_of"]) == (11, moment(9))
    assert f"(binary log replayed up to {moment(9)})" in "\n".join(report.table(summary))


def test_the_report_says_why_nothing_was_replayed() -> None:
    summary = report.summarise({**finished(), "changes": {"reason": "web-02 keeps no binary log (log_bin)"}})
    assert summary["rpo_seconds"] == 15
    said = f"(snapshot of {moment(5)}; nothing later, since web-02 keeps no binary log (log_bin))"
    assert said in "\n".join(report.table(summary))


def test_without_a_dump_the_report_says_so() -> None:
    run = {**finished(), "dump": None, "proof": None}
    assert report.summarise(run)["rpo_seconds"] is None
    assert "not measured: no dump was taken in this run" in "\n".join(report.table(report.summarise(run)))


def test_the_journal_is_private_and_whole(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "web-01" / "journal.json"
    journal.save(path, '{"schema": "phoenix.webstack.rebuild/1"}')
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["journal.json"]
    assert journal.load(path) == {"schema": journal.SCHEMA}
    assert journal.load(tmp_path / "absent.json") == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "other"}'])
def test_a_damaged_journal_is_not_guessed_at(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "journal.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WebstackError, match="Move it away and run again"):
        journal.load(path)
