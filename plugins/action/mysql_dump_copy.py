# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy a dump from the host of the task to another one, a piece at a time."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.copies import ARGUMENTS
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.manifest import entries_of
from ansible_collections.phoenix.webstack.plugins.plugin_utils._connections import open_connection
from ansible_collections.phoenix.webstack.plugins.plugin_utils._mysql.pieces import DumpMover, variables_of

if t.TYPE_CHECKING:
    from ansible.plugins.connection import ConnectionBase

Answer = t.Dict[str, t.Any]  # noqa: UP006 -- evaluated on Python 3.8


class ActionModule(DumpMover):
    """See the module documentation of ``mysql_dump_copy``."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> Answer:
        """Copy what is not there yet, and have it committed."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        if args["to"] == (task_vars or {}).get("inventory_hostname"):
            raise AnsibleActionFail(
                f"{args['to']} would get a copy of its own dump, which would be lost with it. Name another host."
            )
        variables = variables_of(args["to"], task_vars or {})
        peer = open_connection(host=args["to"], variables=variables, task=self._task, play_context=self._play_context)
        begun = self._ask(peer, variables, args, phase="begin")
        result.update(changed=begun.get("changed", False), path=f"{args['dest']}/{args['manifest']['id']}")
        if begun.get("failed"):
            return {**result, **begun, "msg": f"{args['to']}: {begun.get('msg')}"}
        entries = [entry for entry in entries_of(args["manifest"]) if entry["file"] in begun["lacking"]]
        result.update(bytes=sum(entry["size"] for entry in entries), removed_sets=[])
        if self._task.check_mode or not begun["changed"]:
            return result
        for entry in entries:
            pieces = self._pieces(entry, source=args["path"], total=result["bytes"], verb="copied")
            with self._writing(peer, target=f"{begun['partial']}/{entry['file']}", host=args["to"]) as put:
                for piece in pieces:
                    put(piece)
        committed = self._ask(peer, variables, args, phase="commit")
        if committed.get("failed"):
            return {**result, **committed, "msg": f"{args['to']}: {committed.get('msg')}"}
        return {**result, "removed_sets": committed["removed_sets"]}

    def _ask(self, peer: ConnectionBase, variables: t.Mapping[str, t.Any], args: Answer, *, phase: str) -> Answer:
        """Run the module on the other host."""
        names = ("ansible_python_interpreter", "ansible_facts", "inventory_hostname", "ansible_remote_tmp")
        known = {name: variables[name] for name in names if name in variables}
        with self._at(peer, args["to"]):
            answer: Answer = self._execute_module(
                module_args={**args, "phase": phase}, task_vars={"ansible_facts": {}, **known}
            )
        return answer
