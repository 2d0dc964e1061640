"""The counting behind the closing line: a run that proved nothing must not look green."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import run_tests

if TYPE_CHECKING:
    from pathlib import Path

CASES = """
<testsuites><testsuite>
  <testcase name="a"/><testcase name="b"/>
  <testcase name="c"><failure/></testcase>
  <testcase name="d"><error/></testcase>
  <testcase name="e"><skipped/></testcase>
</testsuite></testsuites>
"""
PASSING = '<testsuite><testcase name="a"/></testsuite>'


def outcome_of(folder: Path, code: int | None, content: str = "") -> tuple[int, int, int]:
    if content:
        (folder / "unit.xml").write_text(content)
    job = run_tests.Job("unit", "unit", ("true",), junit="unit.xml", junit_folder=folder)
    outcome = run_tests.count(job, code)
    return outcome.passed, outcome.failed, outcome.skipped


def test_each_case_counts_once(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, 1, CASES) == (2, 2, 1)


@pytest.mark.parametrize("code", [0, 1, None], ids=["success", "failure", "timeout"])
def test_no_result_file_is_a_failure(tmp_path: Path, code: int | None) -> None:
    assert outcome_of(tmp_path, code) == (0, 1, 0)


@pytest.mark.parametrize("code", [1, None], ids=["failure", "timeout"])
def test_a_failure_that_no_case_shows_is_counted(tmp_path: Path, code: int | None) -> None:
    assert outcome_of(tmp_path, code, PASSING) == (1, 1, 0)


def test_only_skipped_cases_prove_nothing(tmp_path: Path) -> None:
    skipped = '<testsuite><testcase name="a"><skipped/></testcase></testsuite>'
    assert outcome_of(tmp_path, 0, skipped) == (0, 1, 1)


@pytest.mark.parametrize(("code", "expected"), [(0, (1, 0)), (2, (0, 1)), (None, (0, 1))])
def test_a_job_without_result_file_counts_by_its_exit_code(code: int | None, expected: tuple[int, int]) -> None:
    outcome = run_tests.count(run_tests.Job("lint", "ruff", ("ruff",)), code)
    assert (outcome.passed, outcome.failed) == expected


def test_a_failure_is_told_with_its_task() -> None:
    log = """\
TASK [Install it] **********
ok: [web-01]
TASK [Start it] ************
[ERROR]: Task failed: Module failed: no such unit
fatal: [web-01]: FAILED! => {"msg": "no such unit"}
PLAY RECAP *****************
web-01 : ok=1    changed=0    unreachable=0    failed=1
TASK [Take it away] ********
ok: [web-01]
"""
    assert run_tests.telling_lines(log) == [
        "TASK [Start it] ************",
        "[ERROR]: Task failed: Module failed: no such unit",
        'fatal: [web-01]: FAILED! => {"msg": "no such unit"}',
    ]


def test_a_failed_test_is_told_with_its_reason() -> None:
    log = "tests/unit/test_a.py .F\n>   assert 1 == 2\nE   assert 1 == 2\nFAILED tests/unit/test_a.py::test_b\n"
    assert run_tests.telling_lines(log) == ["E   assert 1 == 2", "FAILED tests/unit/test_a.py::test_b"]
