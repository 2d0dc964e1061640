"""What every row of the catalogue must be."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.model import SUITES, Fault


def test_ids_are_unique() -> None:
    ids = [fault.id for fault in FAULTS]
    assert sorted(set(ids)) == sorted(ids)
    assert all(re.fullmatch(r"[UNRS]\d\d[a-z]?", name) for name in ids)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_row(fault: Fault) -> None:
    assert set(fault.locks_out) <= set(fault.suites) <= set(SUITES)
    for script in (fault.inject, fault.setup):
        checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert not checked.stderr
