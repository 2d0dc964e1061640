# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a scratch host the variables of a web server (controller only)."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.phoenix.webstack.plugins.action.check_variables import documented_variables

ARGUMENTS: dict[str, t.Any] = {
    "host": {"type": "str", "required": True},
    "like": {"type": "str", "required": True},
    "group": {"type": "str", "required": True},
}
# What is true of one host alone.
OWN = frozenset({"webstack_address", "webstack_ssh_port", "webstack_weight"})


def adoptable(*, own: t.Iterable[str], others: t.Iterable[str], known: t.Iterable[str]) -> list[str]:
    """The names of the variables to take over.

    :arg own: Those that the scratch host has by itself.
    :arg others: Those that the web server has.
    :arg known: Those of this collection.
    """
    return sorted((set(others) & set(known)) - set(own) - OWN)


class ActionModule(ActionBase):
    """See the module documentation of ``drill_adopt``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Add the host to the group, as ``add_host`` does; no host is changed by that."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        hostvars = (task_vars or {})["hostvars"]
        model = hostvars[args["like"]]
        known, _prefixes = documented_variables()
        names = adoptable(own=hostvars[args["host"]], others=model, known=known)
        # Asked for one by one, so that what they are made of is the web server's.
        variables = {name: model[name] for name in names}
        result.update(
            changed=False,
            adopted=names,
            add_host={"host_name": args["host"], "groups": [args["group"]], "host_vars": variables},
        )
        return result
