# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what a drill was asked to do, before any host is contacted (controller only)."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import journal
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drill import plan

ARGUMENTS: dict[str, t.Any] = {
    "host": {"type": "str", "default": ""},
    "source": {"type": "str", "default": ""},
    "web_hosts": {"type": "list", "elements": "str", "required": True},
    "balancers": {"type": "list", "elements": "str", "required": True},
}


def addresses_of(host: str, variables: t.Mapping[str, t.Any]) -> list[str]:
    """The addresses that the inventory has for a host: that of SSH, and that of the balancer."""
    named = (variables.get("ansible_host"), variables.get("webstack_address"))
    return sorted({str(each) for each in named if each} or {host})


def settle(*, args: dict[str, t.Any], hostvars: t.Mapping[str, t.Any]) -> plan.Asked:
    """Complete the request from the inventory."""
    host, source = args["host"], args["source"]
    in_service = [*args["web_hosts"], *args["balancers"]]
    model = source if source in args["web_hosts"] else next(iter(args["web_hosts"]), "")
    databases = (hostvars[model].get("mysql_databases") or []) if model else []
    return plan.Asked(
        host=host,
        source=source,
        like=model,
        own_addresses=addresses_of(host, hostvars[host]) if host in hostvars else [],
        known_hosts=[name for name in hostvars if name != "localhost"],
        web_hosts=args["web_hosts"],
        balancers=args["balancers"],
        addresses={name: addresses_of(name, hostvars[name]) for name in in_service},
        databases=[str(each["name"]) for each in databases],
    )


class ActionModule(ActionBase):
    """See the module documentation of ``drill_request``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the completed request, or fail with every problem."""
        moment = journal.now()
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        asked = settle(args=args, hostvars=(task_vars or {})["hostvars"])
        problems = plan.problems_of_request(asked)
        result.update(changed=False, asked=asked._asdict(), problems=problems, started_at=moment)
        result["sources"] = asked.sources
        result["members"] = [
            {"name": asked.host, "group": "drill_scratch"},
            *({"name": name, "group": "drill_sources"} for name in asked.sources),
            *({"name": name, "group": "drill_balancers"} for name in asked.balancers),
        ]
        if problems:
            result.update(failed=True, msg=plan.listed(problems))
        return result
