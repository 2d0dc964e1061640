# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Require that every balancer points at the replacement, and at nothing else in its place (controller only)."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import plan

ARGUMENTS: dict[str, t.Any] = {
    "host": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "balancers": {"type": "dict", "required": True},
}


class ActionModule(ActionBase):
    """See the module documentation of ``rebuild_verify``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Fail with every balancer that is not as it must be."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        balancers = {name: plan.balancer_of(each) for name, each in args["balancers"].items()}
        problems = plan.problems_of_service(host=args["host"], address=args["address"], balancers=balancers)
        result.update(changed=False, problems=problems)
        if problems:
            lines = "\n".join(f"  - {each}" for each in problems)
            result.update(
                failed=True,
                msg=f"{args['host']} is rebuilt but not in service everywhere:\n{lines}\n"
                "Run the same command again: it goes on here.",
            )
        return result
