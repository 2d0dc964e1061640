"""What a task in the background has left behind."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.modules import job_wait

# As ansible-core writes it: 2.17 numbers, 2.19 truth values.
RUNNING = ['{"started": 1, "finished": 0, "ansible_job_id": "j1"}', '{"started": true, "finished": false}', "", '{"cha']


@pytest.mark.parametrize("text", RUNNING)
def test_a_task_that_runs_has_no_result(text: str) -> None:
    assert job_wait.result_of(text) is None


def test_a_task_that_is_done_has_one() -> None:
    assert job_wait.result_of('{"changed": true, "rc": 0}') == {"changed": True, "rc": 0}


def test_the_wait_ends_with_the_task(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.write_text(RUNNING[0])
    threading.Timer(0.3, path.write_text, ['{"changed": true}']).start()
    begun = time.monotonic()
    assert job_wait.wait(path=path, seconds=30) == {"changed": True}
    assert time.monotonic() - begun >= 0.2


def test_the_wait_ends_without_it(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.write_text(RUNNING[1])
    assert job_wait.wait(path=path, seconds=0.2) is None


def test_a_task_that_never_was(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        job_wait.wait(path=tmp_path / "job", seconds=30)


def test_progress_is_as_old_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    assert job_wait.read_progress(str(path)) is None
    path.write_text(json.dumps({"phase": "load shop", "done": 1, "total": 2, "seconds": 1.5}))
    os.utime(path, (time.time() - 3, time.time() - 3))
    progress = job_wait.read_progress(str(path))
    assert progress is not None
    assert 4.5 <= progress["seconds"] < 14.5
    path.write_text('{"pha')
    assert job_wait.read_progress(str(path)) is None
    assert job_wait.read_progress(None) is None
