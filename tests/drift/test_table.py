"""Each row of the table is found, told by its class, and mended where it may be; nothing else is touched."""

from __future__ import annotations

import fnmatch

import pytest

from tests.drift.playbook import HOSTS, Drift, missing
from tests.drift.table import ROUNDS, Row

# What a deed brings about beside what it is: a service that nobody answers for.
CONSEQUENCES = ("answer:*", "balancer:stale", "ssh:*")


def expected(rows: list[Row], host: str) -> dict[str, str]:
    return {key: kind for row in rows if row.host == host for key, kind in row.found.items()}


def unexpected(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    known = (*wanted, *CONSEQUENCES)
    return [key for key in found if not any(fnmatch.fnmatchcase(key, pattern) for pattern in known)]


def test_a_provisioned_stack_is_clean(drift: Drift) -> None:
    run = drift()
    assert (run.code, drift.report["verdict"], drift.found()) == (0, "clean", {host: {} for host in HOSTS}), run.tail


@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_round(drift: Drift, number: int) -> None:
    rows = ROUNDS[number]
    for row in rows:
        drift.hand(row.host, row.deed)
    try:
        run = drift()
        assert run.code == 16, run.tail
        found = drift.found()
        for host in HOSTS:
            assert missing(found[host], expected(rows, host)) == {}, run.tail
        # Clones differ from one another: it is told of both.
        others = {
            host: [key for key in unexpected(found[host], expected(rows, host)) if key != "data:sakila"]
            for host in HOSTS
        }
        assert others == {host: [] for host in HOSTS}, run.tail

        corrected = drift("correct")
        assert corrected.code == 16, corrected.tail
        left = drift.found(outcome="open")
        for host in HOSTS:
            staying = expected([row for row in rows if not row.mended], host)
            assert missing(left[host], staying) == {}, corrected.tail
            going = [key for row in rows if row.mended and row.host == host for key in row.found if key not in staying]
            mended = [key for key in going if "*" not in key]
            assert [key for key in mended if key in left[host]] == [], corrected.tail
    except AssertionError:
        # The next round shall not fail for this one.
        drift("correct")
        raise
    finally:
        for row in rows:
            if not row.mended:
                drift.hand(row.host, row.undo)
    again = drift()
    assert (again.code, drift.found()) == (0, {host: {} for host in HOSTS}), again.tail
