"""The verdict on a fault: what was seen, in seconds, and what it is called."""

from __future__ import annotations

import pytest

from tests.faults import model
from tests.faults.model import Fault, FaultsError, Sample, Verdict

LOCKED = {"root over IPv4 on-link": "timed out"}
FAULTS = [Fault(name, name, "true", model.BOTH) for name in ("U01", "S04", "S04b", "S1", "S10")]


def seen(*looks: tuple[float, bool]) -> list[Sample]:
    return [Sample(at, {} if is_open else LOCKED) for at, is_open in looks]


@pytest.mark.parametrize(
    ("samples", "verdict"),
    [
        (seen((0.3, True), (12.4, True)), Verdict("prevented")),
        (seen((0.0, False), (2.5, False), (4.1, True), (9.2, True)), Verdict("healed", 4.1)),
        (seen((0.3, True), (3.0, False), (6.0, True), (11.5, True)), Verdict("healed", 6.0)),
        (seen((0.0, False), (75.2, False)), Verdict("open")),
        # Working once is not enough, and neither is coming and going.
        (seen((0.0, False), (75.2, True)), Verdict("open")),
        (seen((0.0, False), (3.0, True), (6.0, False), (9.0, True), (10.0, True)), Verdict("open")),
    ],
)
def test_verdict(samples: list[Sample], verdict: Verdict) -> None:
    assert model.judge(samples) == verdict


@pytest.mark.parametrize(
    ("samples", "over"),
    [
        ([], False),
        (seen((0.3, True), (8.0, True)), False),
        (seen((0.3, True), (12.4, True)), True),
        (seen((0.0, False), (4.0, True), (8.9, True)), False),
        (seen((0.0, False), (4.0, True), (9.1, True)), True),
        (seen((0.0, False), (74.0, False)), False),
        (seen((0.0, False), (75.0, False)), True),
        # SSH came back just before the end: it gets the time to show that it stays.
        (seen((0.0, False), (74.0, True), (78.0, True)), False),
        (seen((0.0, False), (74.0, True), (79.1, True)), True),
        (seen((0.0, False), (74.0, True), (77.0, False)), True),
    ],
)
def test_end_of_a_watch(samples: list[Sample], over: bool) -> None:
    assert model.is_over(samples, watch=75.0, patience=12.0) is over


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], 0.0), ([3.0], 3.0), (range(1, 101), 95), ([1.0, 2.0, 10.0], 10.0), ([4.0] * 19 + [30.0], 4.0)],
)
def test_percentile(values: list[float], expected: float) -> None:
    assert model.percentile(values, 0.95) == expected


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ("", ["U01", "S04", "S04b", "S1", "S10"]),
        ("U", ["U01"]),
        ("S04", ["S04"]),
        ("S04*", ["S04", "S04b"]),
        ("S1,U01", ["U01", "S1"]),
        ("S", ["S04", "S04b", "S1", "S10"]),
        ("U0 S10", ["U01", "S10"]),
    ],
)
def test_selection(wanted: str, ids: list[str]) -> None:
    assert [fault.id for fault in model.select(FAULTS, wanted)] == ids


def test_unknown_fault() -> None:
    with pytest.raises(FaultsError, match="no fault is called X9"):
        model.select(FAULTS, "U01,X9")


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("[Errno 111] Connection refused", True),
        ("the connection ends without a greeting", True),
        ("admin@192.0.2.1: Permission denied (publickey).", True),
        ("logged in, but the command ended with 254", True),
        ("timed out", False),
        ("ssh: connect to host 192.0.2.1 port 22: Connection timed out", False),
        ("Connection timed out during banner exchange", False),
        ("the login takes longer than 10 s", False),
    ],
)
def test_an_answer_is_no_silence(reason: str, told: bool) -> None:
    assert model.answered(reason) is told
