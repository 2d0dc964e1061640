# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for a task in the background, and show how far it is."""

from __future__ import annotations

import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.progress import describe

MODULE = "phoenix.webstack.job_wait"
ARGUMENTS: dict[str, t.Any] = {
    "results_file": {"type": "str", "required": True},
    "progress_file": {"type": "str"},
    "seconds": {"type": "int", "default": 5},
    "timeout": {"type": "int", "default": 1800},
}


class ActionModule(ActionBase):
    """See the module documentation of ``job_wait``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Ask the host again and again until the task is done."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        host = self._task.delegate_to or (task_vars or {}).get("inventory_hostname", "")
        question = {name: args[name] for name in ("results_file", "progress_file", "seconds")}
        deadline = time.monotonic() + args["timeout"]
        while True:
            answer = self._execute_module(module_name=MODULE, module_args=question, task_vars=task_vars)
            if answer.get("failed") or answer.get("finished"):
                result.update(answer)
                return result
            if time.monotonic() >= deadline:
                result.update(
                    failed=True,
                    msg=f"The task in the background on {host} is not done after {args['timeout']} s, and goes on. Look"
                    f" at its end there: sudo cat {args['results_file']}",
                )
                return result
            if answer.get("progress"):
                Display().display(f"  {host}: {describe(answer['progress'])}")
