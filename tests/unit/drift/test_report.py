"""The report: what came of each finding, the verdict, what is new and over, and what it looks like."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift import outputs, page
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift.history import History, load
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift.report import Host, Run, as_lines, assemble
from prometheus_client.parser import text_string_to_metric_families

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "drift-report.schema.json").read_text(encoding="utf-8"))


def finding(key: str = "file:/a", **values: t.Any) -> dict[str, t.Any]:
    return {
        "id": key,
        "role": "nginx",
        "class": "drift",
        "what": f"{key} differs",
        "diff": "",
        "path": "",
        "held": False,
    } | values


def look(*findings: dict[str, t.Any], **values: t.Any) -> dict[str, t.Any]:
    return {"findings": list(findings), "looked_at": 9, "applied": True, "hold": None, "data": {}, **values}


def report(
    *hosts: Host, history: History | None = None, mode: str = "check", when: str = "2026-01-02T03:04:05+00:00"
) -> dict[str, t.Any]:
    run = Run(mode=mode, started_at=when, finished_at=when, hosts={host.name: host for host in hosts})
    made = assemble(run, history=History() if history is None else history)
    jsonschema.validate(made, SCHEMA)
    return made


@pytest.mark.parametrize(
    ("host", "code", "verdict"),
    [
        (Host("web-01", looks=[look()]), 0, "clean"),
        (Host("web-01", looks=[look(finding())]), 16, "drift"),
        (Host("web-01", looks=[look(finding()), look()]), 16, "corrected"),
        (Host("web-01", looks=[look(finding()), look(finding("file:/b"))]), 16, "drift"),
        (Host("web-01", looks=[look(finding(held=True), hold={"reason": "", "by": "", "until": ""})]), 0, "clean"),
        (Host("web-01", unreachable="no answer"), 20, "failed"),
        (Host("web-01", failed="it broke"), 2, "failed"),
        (Host("web-01", looks=[look(finding())], failed="it broke"), 18, "failed"),
    ],
)
def test_the_exit_code_says_what_happened(host: Host, code: int, verdict: str) -> None:
    made = report(host)
    assert (made["exit_code"], made["verdict"]) == (code, verdict)


def test_a_finding_seen_from_elsewhere_is_over_when_nobody_sees_it_any_more() -> None:
    seen = finding("answer:http://web-01/", **{"class": "probe"})
    host = Host("web-01", looks=[look(finding()), look()], views={"lb-01": [[seen], []], "here": [[]]})
    assert {each["id"]: each["outcome"] for each in report(host)["hosts"][0]["findings"]} == {
        "file:/a": "corrected",
        "answer:http://web-01/": "corrected",
    }


def test_a_finding_that_one_of_two_places_still_sees_is_open() -> None:
    seen = finding("answer:http://web-01/")
    host = Host("web-01", looks=[look()], views={"lb-01": [[seen], []], "lb-02": [[seen], [seen]]})
    assert report(host)["hosts"][0]["findings"][0]["outcome"] == "open"


def test_new_findings_are_new_once_and_over_once() -> None:
    history = History()
    first = report(Host("web-01", looks=[look(finding())]), history=history)
    second = report(Host("web-01", looks=[look(finding())]), history=history, when="2026-01-03T03:04:05+00:00")
    third = report(Host("web-01", looks=[look()]), history=history)
    fourth = report(Host("web-01", looks=[look()]), history=history)
    assert [made["new"] for made in (first, second, third, fourth)] == [1, 0, 0, 0]
    assert [len(made["resolved"]) for made in (first, second, third, fourth)] == [0, 0, 1, 0]
    assert second["hosts"][0]["findings"][0]["first_seen"] == "2026-01-02T03:04:05+00:00"


def test_a_host_that_nobody_could_look_at_keeps_its_findings() -> None:
    history = History()
    report(Host("web-01", looks=[look(finding())]), history=history)
    assert report(Host("web-01", unreachable="no answer"), history=history)["resolved"] == []
    assert report(Host("web-01", looks=[look(finding())]), history=history)["new"] == 0


def test_what_comes_back_three_times_in_a_row_is_flapping() -> None:
    history = History()
    corrected = [report(Host("web-01", looks=[look(finding()), look()]), history=history) for _round in range(3)]
    assert [made["summary"]["flapping"] for made in corrected] == [0, 0, 0]
    assert history.flapping("web-01") == ["file:/a"]
    back = report(Host("web-01", looks=[look(finding())]), history=history)
    assert back["summary"]["flapping"] == 1
    # Once it stays away, it may be corrected again.
    report(Host("web-01", looks=[look()]), history=history)
    assert history.flapping("web-01") == []


def test_clones_that_differ_are_told_of_each_or_of_the_odd_one() -> None:
    assert clones(a="10 1 1", b="10 1 1") == {"a": [], "b": []}
    assert clones(a="10 1 1", b="10 2 1") == {"a": ["data:shop"], "b": ["data:shop"]}
    assert clones(a="10 1 1", b="10 1 2", c="10 1 1") == {"a": [], "b": ["data:shop"], "c": []}


def test_clones_on_other_releases_are_compared_by_what_these_have_in_common() -> None:
    assert clones(a="10 1 1", b="11 1 2") == {"a": [], "b": []}
    assert clones(a="10 1 1", b="11 2 2") == {"a": ["data:shop"], "b": ["data:shop"]}


def clones(**digests: str) -> dict[str, list[str]]:
    """What is found on clones whose data has this series, content and form."""
    data = {name: dict(zip(("series", "content", "form"), each.split(), strict=True)) for name, each in digests.items()}
    made = report(*(Host(name, looks=[look(data={"shop": each})]) for name, each in data.items()))
    return {host["name"]: [each["id"] for each in host["findings"]] for host in made["hosts"]}


def test_the_history_comes_back_as_it_was(tmp_path: Path) -> None:
    history = History(last_success=1.5)
    report(Host("web-01", looks=[look(finding())]), history=history)
    outputs.write(tmp_path / "history.json", history.as_text())
    assert load(tmp_path / "history.json") == history


def test_prometheus_reads_the_metrics() -> None:
    made = report(
        Host('we"b', looks=[look(finding(), finding("b", **{"class": "extra"}))]), Host("x", unreachable="no")
    )
    text = outputs.as_metrics(made, finished=12.0, last_success=None)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    values = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}
    assert values["phoenix_drift_items", "drift", 'we"b'] == 1
    assert values["phoenix_drift_items", "probe", "x"] == 1
    assert values["phoenix_drift_host_looked_at", "x"] == 0
    assert values["phoenix_drift_exit_code",] == 20
    assert ("phoenix_drift_last_success_timestamp_seconds",) not in values


def test_ci_counts_what_is_open() -> None:
    broken = Host("db", failed="it broke")
    made = report(
        Host("web-01", looks=[look(finding(), finding("b\x07")), look(finding("b\x07"))]),
        Host("lb", looks=[look()]),
        broken,
    )
    suites = {each.get("name"): each for each in ElementTree.fromstring(outputs.as_junit(made))}
    assert [
        (suites[name].get("tests"), suites[name].get("failures"), suites[name].get("errors"))
        for name in ("web-01", "lb", "db")
    ] == [
        ("2", "1", "0"),
        ("1", "0", "0"),
        ("1", "0", "1"),
    ]


def test_the_page_shows_what_hosts_say_as_text() -> None:
    evil = "<script>alert(1)</script>{{ 7 * 7 }}"
    made = report(Host("web-01", looks=[look(finding(what=evil, diff=f"--- a\n+++ b\n@@ -1 +1 @@\n-{evil}\n+fine"))]))
    shown = page.render(made)
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7 * 7 }}" in shown
    assert 'class="added"' in shown
    assert "http" not in shown.replace("http-equiv", ""), "the page asks nobody for anything"


def test_the_terminal_shows_every_finding_and_the_verdict() -> None:
    lines = as_lines(report(Host("web-01", looks=[look(finding(changed_at="2026", changed_by="ana: rm"))])))
    assert lines[0] == "web-01  drift     file:/a differs [new]"
    assert lines[1].strip() == "changed at 2026 by ana: rm"
    assert lines[-1] == "Verdict: drift (1 drift; 0 corrected, 0 held; exit code 16)"


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "latest.json"
    outputs.write(path, "old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        outputs.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_old_reports_go(tmp_path: Path) -> None:
    for day in range(1, 6):
        (tmp_path / f"2026010{day}T000000Z.json").write_text("")
        (tmp_path / f"2026010{day}T000000Z.html").write_text("")
    (tmp_path / "notes.json").write_text("")
    outputs.prune(tmp_path, keep=2)
    assert sorted(path.name[:8] for path in tmp_path.glob("2026*.json")) == ["20260104", "20260105"]
    assert (tmp_path / "notes.json").exists()
