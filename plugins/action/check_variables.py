# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the variables of hosts with what the collection documents (controller only)."""

from __future__ import annotations

import pathlib
import typing as t

import yaml
from ansible.plugins.action import ActionBase
from ansible_collections.phoenix.webstack.plugins.module_utils._variables import find_misspelt

NEXT_STEP = (
    "Correct them in the inventory or on the command line and run again."
    " A variable of your own with such a name goes into `webstack_foreign_variables`."
)
COLLECTION = pathlib.Path(__file__).resolve().parents[2]


def documented_variables() -> tuple[set[str], set[str]]:
    """Read the names and the prefixes of this collection's variables.

    :returns: The names in every role's argument specs and in ``meta/variables.yml``; the prefixes
        they share (the roles' names, and those that ``meta/variables.yml`` claims).
    """
    playbooks = yaml.safe_load((COLLECTION / "meta" / "variables.yml").read_text(encoding="utf-8"))
    names = set(playbooks["variables"])
    prefixes = set(playbooks["prefixes"])
    for spec_file in sorted((COLLECTION / "roles").glob("*/meta/argument_specs.yml")):
        prefixes.add(f"{spec_file.parents[1].name}_")
        for entry_point in yaml.safe_load(spec_file.read_text(encoding="utf-8"))["argument_specs"].values():
            names.update(entry_point.get("options", {}))
    return names, prefixes


class ActionModule(ActionBase):
    """See the module documentation of ``check_variables``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Fail with every misspelt variable of every host at once."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            {
                "hosts": {"type": "list", "elements": "str", "required": True},
                "foreign": {"type": "list", "elements": "str", "default": []},
            }
        )
        known, prefixes = documented_variables()
        hostvars = (task_vars or {})["hostvars"]
        problems: dict[str, list[str]] = {}
        for host in args["hosts"]:
            for found in find_misspelt(names=hostvars[host], known=known | set(args["foreign"]), prefixes=prefixes):
                text = f"`{found.name}` is not a variable of this collection; did you mean `{found.likely}`?"
                problems.setdefault(text, []).append(host)
        result.update(changed=False, problems=sorted(problems))
        if problems:
            lines = [f"  - {text} (seen by {', '.join(hosts)})" for text, hosts in sorted(problems.items())]
            result.update(
                failed=True,
                msg="\n".join(["Misspelt variables; nothing was changed:", *lines, NEXT_STEP]),
            )
        return result
