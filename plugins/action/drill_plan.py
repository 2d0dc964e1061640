# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn what the hosts showed into the plan of a drill, or into every problem at once (controller only)."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drill import plan

ARGUMENTS: dict[str, t.Any] = {
    "asked": {"type": "dict", "required": True},
    "scratch": {"type": "dict", "required": True},
    "sources": {"type": "dict", "required": True},
    "balancers": {"type": "dict", "required": True},
}


class ActionModule(ActionBase):
    """See the module documentation of ``drill_plan``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Show and return the plan, or fail with every problem."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        asked = plan.Asked(**args["asked"])
        problems = plan.problems_of_scratch(asked, args["scratch"])
        problems += plan.problems_of_balancers(asked, args["balancers"])
        dump = None
        try:
            dump = plan.last_dump(asked, args["sources"])
        except WebstackError as error:
            problems.append(error.message)
        result.update(changed=False, problems=problems)
        if problems or dump is None:
            result.update(failed=True, msg=plan.listed(problems))
            return result
        Display().display("\n".join(["", *plan.describe(asked, dump), ""]))
        result.update(dump=dump._asdict())
        return result
