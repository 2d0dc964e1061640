#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait on the host for a task in the background."""

from __future__ import annotations

DOCUMENTATION = r"""
module: job_wait
short_description: Wait on the host for a task in the background, and show how far it is
version_added: "0.2.0"
description:
  - Waits for a task that was started with C(async) and C(poll=0), and returns what it returned.
  - Waits on the host, in one call, and goes on the moment the task is done. M(ansible.builtin.async_status) is a call
    for each look, and finds the end of the task with the next of them.
  - Where the task leaves its progress in a file, a line with it is shown after each O(seconds).
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
attributes:
  check_mode:
    description: Waits as well, since it changes nothing.
    support: full
  diff_mode:
    description: Changes nothing that could be shown.
    support: none
  idempotent:
    description: Changes nothing; it reports a change where the task in the background made one.
    support: full
options:
  results_file:
    description: Where the task leaves its result, as the task that started it has returned it.
    type: path
    required: true
  progress_file:
    description:
      - Where the task writes how far it is, as JSON with C(phase), C(done), C(total) (both in bytes) and C(seconds).
      - M(phoenix.webstack.mysql_restore) does, in C(.progress.json) of its state directory.
    type: path
  seconds:
    description: How long one call on the host waits at most, lest a connection without traffic is taken for dead.
    type: int
    default: 5
  timeout:
    description: How many seconds to wait in all. After them the module fails, and the task goes on.
    type: int
    default: 1800
seealso:
  - module: ansible.builtin.async_status
"""

EXAMPLES = r"""
- name: Install in the background
  ansible.builtin.apt:
    name: nginx
  async: 600
  poll: 0
  register: job

- name: Wait for it
  phoenix.webstack.job_wait:
    results_file: "{{ job.results_file }}"
"""

RETURN = r"""
finished:
  description: Whether the task is done. All that it returned is here as well, and the module fails if it failed.
  returned: always
  type: bool
"""

import json
import time
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

PAUSE = 0.1  # seconds


def result_of(text: str) -> dict[str, t.Any] | None:
    """Give what a task has returned, None while it runs: until then its file says that it has started."""
    try:
        found = json.loads(text)
    except ValueError:  # being written
        return None
    return None if found.get("started") and not found.get("finished") else dict(found)


def wait(*, path: Path, seconds: float) -> dict[str, t.Any] | None:
    """Wait for a task's result, for so long.

    :raises FileNotFoundError: when there is no such task.
    """
    end = time.monotonic() + seconds
    while True:
        result = result_of(path.read_text(encoding="utf-8"))
        if result is not None or time.monotonic() >= end:
            return result
        time.sleep(PAUSE)


def read_progress(path: str | None) -> dict[str, t.Any] | None:
    """Read how far the task is, where it tells."""
    try:
        file = Path(path or "")
        progress = dict(json.loads(file.read_text(encoding="utf-8")))
        age = time.time() - file.stat().st_mtime
    except (OSError, ValueError):  # not begun yet, or done by now
        return None
    return {**progress, "seconds": progress["seconds"] + round(max(0.0, age), 1)}


def main() -> None:
    """Wait for a while; whoever called asks again, until the task is done."""
    module = AnsibleModule(
        argument_spec={
            "results_file": {"type": "path", "required": True},
            "progress_file": {"type": "path"},
            "seconds": {"type": "int", "default": 5},
            "timeout": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    path = Path(module.params["results_file"])
    try:
        result = wait(path=path, seconds=module.params["seconds"])
    except OSError as error:
        module.fail_json(msg=f"There is no task in the background that writes to {path}: {error}", finished=True)
    if result is None:
        module.exit_json(changed=False, finished=False, progress=read_progress(module.params["progress_file"]))
    else:
        result.pop("invocation", None)
        if result.pop("failed", False):
            module.fail_json(**{"msg": "The task in the background failed.", **result, "finished": True})
        module.exit_json(**{"changed": False, **result, "finished": True})


if __name__ == "__main__":
    main()
