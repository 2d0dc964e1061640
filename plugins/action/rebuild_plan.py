# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn what the hosts showed into a plan, or into every problem at once (controller only)."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import method, plan

ARGUMENTS: dict[str, t.Any] = {
    "asked": {"type": "dict", "required": True},
    "trust": {"type": "dict", "required": True},
    "target": {"type": "dict", "required": True},
    "sources": {"type": "dict", "required": True},
    "balancers": {"type": "dict", "required": True},
    "engine": {"type": "str", "required": True},
    "http_port": {"type": "int", "required": True},
    "method": {"type": "str", "default": method.AUTO, "choices": list(method.METHODS)},
}


class ActionModule(ActionBase):
    """See the module documentation of ``rebuild_plan``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Show and return the plan, or fail with every problem."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        asked = plan.Asked(**args["asked"])
        balancers = {name: plan.balancer_of(each) for name, each in args["balancers"].items()}
        sources = {name: plan.probe_of(each) for name, each in args["sources"].items()}
        trusted = args["trust"]
        target = {"error": trusted["error"]} if "error" in trusted else plan.probe_of(args["target"])

        source, problems = plan.choose_source(asked, sources=sources, balancers=balancers)
        problems = plan.problems_of_balancers(asked, balancers=balancers) + problems
        problems += plan.problems_of_target(
            asked, target=target, source=sources.get(source or ""), engine=args["engine"], http_port=args["http_port"]
        )
        choice = method.Choice(method="", reason="")
        if not problems and source:
            waiting = plan.waiting_databases(asked, target=target)
            choice = method.choose(args["method"], source=sources[source], target=target, databases=waiting)
            problems += choice.problems if waiting else []
        result.update(changed=False, problems=problems)
        if problems:
            result.update(failed=True, msg=plan.listed(problems))
            return result
        made = plan.make_plan(
            asked, target=target, source=source, choice=choice, balancers=balancers, http_port=args["http_port"]
        )
        lines = plan.describe(
            made, fingerprint=trusted["host_key"]["fingerprint"], trusted_by=trusted["host_key"]["kind"]
        )
        Display().display("\n".join(["", *lines, ""]))
        result.update(plan=made._asdict(), description=lines)
        result["members"] = [
            {"name": made.host, "group": "rebuild_now"},
            *({"name": name, "group": "rebuild_dump"} for name in [made.source] if name),
            *({"name": name, "group": "rebuild_repoint"} for name in made.balancers),
        ]
        return result
