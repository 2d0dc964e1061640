"""What a run says at its end, and when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import report
from tests.faults.model import Fault, Result, Sample, Verdict

PREVENTED, OPEN = Verdict("prevented"), Verdict("open")


def result(verdict: Verdict, *, suite: str = "12", trouble: str = "", out_of_reach: str = "") -> Result:
    fault = Fault("U01", "ufw | deny", "true", ("12",), out_of_reach=out_of_reach)
    return Result(fault, suite, verdict, [Sample(1.0, {"root": "timed out"})], "", ["said"], trouble)


def test_closing_line() -> None:
    verdicts = [PREVENTED] * 3 + [Verdict("healed", seconds) for seconds in (2.0, 4.04, 8.26)] + [OPEN]
    line = report.closing_line([result(verdict) for verdict in verdicts], trials=7)
    assert line == "faults: 3 prevented, 3 healed (p95 8.3 s, worst 8.3 s), 1 open"


def test_closing_line_tells_apart_what_no_guard_can_help() -> None:
    known = [result(PREVENTED), result(OPEN, out_of_reach="the machine is off")]
    line = report.closing_line(known, trials=5)
    assert line == (
        "faults: 1 prevented, 0 healed (p95 0.0 s, worst 0.0 s), 0 open, 1 out of reach, 3 without a verdict"
    )


def test_closing_line_of_nothing() -> None:
    assert report.closing_line([], trials=0) == "faults: 0 prevented, 0 healed (p95 0.0 s, worst 0.0 s), 0 open"


@pytest.mark.parametrize(
    ("given", "fails"),
    [
        (result(PREVENTED), False),
        (result(Verdict("healed", 70.0)), False),
        (result(OPEN), True),
        (result(OPEN, out_of_reach="the machine is off"), False),
        (result(PREVENTED, trouble="podman failed"), True),
    ],
)
def test_what_fails_a_run(given: Result, fails: bool) -> None:
    assert report.fails(given) is fails


def test_truth_is_held_against_the_catalogue() -> None:
    # The row says that it locks out on Debian 12 alone.
    assert not report.surprises(result(OPEN))
    assert not report.surprises(result(Verdict("healed", 3.0), suite="13"))
    assert report.surprises(result(OPEN, suite="13"))
    assert report.surprises(result(PREVENTED))
    known = [result(OPEN), result(PREVENTED), result(OPEN, trouble="podman failed")]
    line = report.closing_line_unguarded(known, trials=3)
    assert line == "faults without a guard: 1 lock out, 1 do not, 2 other than the catalogue says"


def test_table(tmp_path: Path) -> None:
    results = [result(OPEN), result(Verdict("healed", 3.21), suite="13")]
    table = report.write(results, tmp_path, guarded=True, whole=True)
    assert table.read_text().splitlines()[-3:] == [
        "| id | fault | Debian 12 | Debian 13 |",
        "|---|---|---|---|",
        r"| U01 | ufw \| deny | open | healed after 3.2 s |",
    ]


def test_a_summary_by_system_and_kind() -> None:
    results = [result(PREVENTED), result(Verdict("healed", 4.04)), result(OPEN), result(PREVENTED, suite="13")]
    assert report.as_summary(results)[2:] == [
        "| Debian 12 | ufw | 3 | 1 | 1 | 4.0 s | 4.0 s | 1 | 0 |",
        "| Debian 12 | all | 3 | 1 | 1 | 4.0 s | 4.0 s | 1 | 0 |",
        "| Debian 13 | ufw | 1 | 1 | 0 | - | - | 0 | 0 |",
        "| Debian 13 | all | 1 | 1 | 0 | - | - | 0 | 0 |",
        "",
    ]
