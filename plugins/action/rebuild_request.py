# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what a rebuild was asked to do, before any host is contacted (controller only)."""

from __future__ import annotations

import pathlib
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import journal, plan

ARGUMENTS: dict[str, t.Any] = {
    "host": {"type": "str", "default": ""},
    "address": {"type": "str", "default": ""},
    "service_address": {"type": "str", "default": ""},
    "source": {"type": "str", "default": ""},
    "in_place": {"type": "bool", "default": False},
    "web_hosts": {"type": "list", "elements": "str", "required": True},
    "balancers": {"type": "list", "elements": "str", "required": True},
    "databases": {"type": "list", "elements": "str", "default": []},
    "journal": {"type": "path", "required": True},
}


def read_inventory(hostvars: t.Mapping[str, t.Any], host: str, name: str) -> str:
    """Return a variable of a host, or an empty text; to ask for a host that does not exist would be an error."""
    return str(hostvars[host].get(name) or "") if host in hostvars else ""


def settle(*, args: dict[str, t.Any], hostvars: t.Mapping[str, t.Any]) -> tuple[plan.Asked, list[str]]:
    """Complete the request from the inventory.

    :returns: The request, and what the inventory leaves open.
    """

    def inventory(host: str, name: str) -> str:
        return read_inventory(hostvars, host, name)

    address = args["address"] or inventory(args["host"], "ansible_host") or args["host"]
    known_service = inventory(args["host"], "webstack_address")
    service = args["service_address"] or (known_service if not args["address"] else "") or address
    problems = []
    if args["address"] and known_service and not args["service_address"]:
        problems.append(
            f"{args['host']} has a webstack_address of its own: say the replacement's as well, with"
            " -e rebuild_service_address=ADDRESS."
        )
    asked = plan.Asked(
        host=args["host"],
        address=address,
        service_address=service,
        source=args["source"],
        in_place=args["in_place"],
        web_hosts=args["web_hosts"],
        balancers=args["balancers"],
        addresses={
            host: inventory(host, "webstack_address") or inventory(host, "ansible_host") or host
            for host in args["web_hosts"]
        },
        databases=args["databases"],
    )
    return asked, problems


class ActionModule(ActionBase):
    """See the module documentation of ``rebuild_request``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the completed request and the journal of the host's last rebuild, or fail with every problem."""
        moment = journal.now()
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        try:
            hostvars = (task_vars or {})["hostvars"]
            asked, problems = settle(args=args, hostvars=hostvars)
            problems += plan.problems_of_request(asked)
            earlier = journal.load(pathlib.Path(args["journal"])) if not problems else {}
        except WebstackError as error:
            result.update(failed=True, msg=error.message)
            return result
        result.update(changed=False, asked=asked._asdict(), earlier=earlier, problems=problems, started_at=moment)
        result["inventory_address"] = read_inventory(hostvars, asked.host, "ansible_host")
        result["members"] = [
            {"name": asked.host, "group": "rebuild_target"},
            *({"name": name, "group": "rebuild_sources"} for name in asked.web_hosts if name != asked.host),
            *({"name": name, "group": "rebuild_balancers"} for name in asked.balancers),
        ]
        if problems:
            result.update(failed=True, msg=plan.listed(problems))
        return result
