"""What a run that was cut off finds again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.faults.model import Fault, Result, Sample, Verdict
from tests.faults.results import Results

DENIED = Fault("U01", "ufw deny", "ufw deny 22", ("12", "13"))
STOPPED = Fault("S01", "stop", "systemctl stop ssh", ("12", "13"))
SEEN = [Sample(0.5, {"root": "timed out"}), Sample(3.2, {})]


def found(fault: Fault = DENIED, suite: str = "12", *, seconds: float = 3.2, trouble: str = "") -> Result:
    return Result(fault, suite, Verdict("healed", seconds), SEEN, "printed", ["said"], trouble)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "guarded.jsonl"


def test_results_are_found_again(file: Path) -> None:
    Results(file, "one").add(found())
    again = Results(file, "one")
    assert again.find(DENIED, "12") == found()
    assert again.find(DENIED, "13") is None
    assert again.of([(DENIED, "13"), (DENIED, "12"), (STOPPED, "12")]) == [found()]


@pytest.mark.parametrize(
    ("program", "fault", "trouble"),
    [
        ("another guard", DENIED, ""),
        ("one", dataclasses.replace(DENIED, inject="ufw deny 22/tcp"), ""),
        ("one", DENIED, "podman failed"),
    ],
)
def test_what_counts_no_more(file: Path, program: str, fault: Fault, trouble: str) -> None:
    Results(file, "one").add(found(trouble=trouble))
    assert Results(file, program).find(fault, "12") is None


def test_other_words_for_the_same_fault_do_not_matter(file: Path) -> None:
    Results(file, "one").add(found())
    assert Results(file, "one").find(dataclasses.replace(DENIED, title="deny", note="new", locks_out=()), "12")


def test_the_last_result_counts(file: Path) -> None:
    results = Results(file, "one")
    results.add(found())
    results.add(found(seconds=7.0))
    again = Results(file, "one")
    assert again.find(DENIED, "12") == found(seconds=7.0)
    assert len(file.read_text().splitlines()) == 1


def test_half_a_line_is_left_behind(file: Path) -> None:
    Results(file, "one").add(found())
    with file.open("a") as cut_off:
        cut_off.write('{"id": "S01", "deb')
    Results(file, "one").add(found(STOPPED))
    assert Results(file, "one").of([(DENIED, "12"), (STOPPED, "12")]) == [found(), found(STOPPED)]


def test_what_is_done_anew_is_not_known(file: Path) -> None:
    results = Results(file, "one")
    results.add(found())
    results.forget([(DENIED, "12"), (DENIED, "13")])
    assert results.find(DENIED, "12") is None
    assert Results(file, "one").find(DENIED, "12") == found()
