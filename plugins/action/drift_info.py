# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at what others show, where it is done from the controller, in this very process; the rest is the module's."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.phoenix.webstack.plugins.module_utils._drift import outside, spec


class ActionModule(ActionBase):
    """See the module documentation of ``drift_info``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Ask here what needs no host; handing a module to this machine would take ten times as long."""
        result = super().run(tmp, task_vars)
        if self._connection.transport == "local" and outside.is_all(self._task.args.get("wanted") or []):
            _validation, args = self.validate_argument_spec(spec.ARGUMENTS)
            result.update(outside.look(args["wanted"], accepted=args["accepted"], wait=args["wait"]))
        else:
            result.update(self._execute_module(task_vars=task_vars))
        return result
